package backendtest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// life calls every method, from the clone to the removal.
func (s suite) life(t *testing.T) {
	kinds := map[string]func(*engine) *worker{
		"a GPU worker":   func(e *engine) *worker { return e.gpuWorker("gpu-1", 1) },
		"a plain worker": func(e *engine) *worker { return e.worker("plain-1", "plain", 1) },
	}
	for name, declare := range kinds {
		s.scene(t, name+", each method twice", func(s *scenario) {
			e := s.engine("ops@desk")
			before := s.state()
			w := declare(e)
			s.twice(e, w, s.running(w)...)
			s.isComplete(w)
			s.hasSeed(w, inventory.CleanSeed, image(w, "clean"))
			s.noSecret(w)
			s.twice(e, w, park, stop, unpark, start, agent, setRecord)
			s.isComplete(w)
			s.twice(e, w, s.ending(w)...)
			s.same("after the worker's end", before)
		})
		for from := range 2 {
			s.scene(t, fmt.Sprintf("%s, with every second handle lost, from %d", name, from+1), func(s *scenario) {
				e := s.engine("ops@desk")
				e.loses = new(from + 1)
				before := s.state()
				w := declare(e)
				e.must(w, s.running(w)...)
				s.isComplete(w)
				s.hasSeed(w, inventory.CleanSeed, image(w, "clean"))
				e.must(w, s.ending(w)...)
				s.noSecret(w)
				s.same("after the worker's end", before)
			})
		}
		s.scene(t, name+", with handles that are garbage", func(s *scenario) {
			e := s.engine("ops@desk")
			e.retries = true
			w := declare(e)
			for _, c := range s.running(w) {
				if _, err := e.once(c, w, `}{"task":`); err != nil {
					s.Fatalf("%s: %v", c.name, err)
				}
				e.must(w, c)
			}
			s.isComplete(w)
		})
	}
}

// twice makes each call until it is done, and then again, which must change nothing.
func (s *scenario) twice(e *engine, w *worker, calls ...call) {
	s.Helper()
	for _, c := range calls {
		e.must(w, c)
		before := s.state()
		e.must(w, c)
		s.same(c.name+" for the second time", before)
	}
}

// isComplete fails the test unless the worker is as declared and has only one VM.
func (s *scenario) isComplete(w *worker) {
	s.Helper()
	snapshot := s.observe()
	vm := s.vm(w)
	if ownership, why := vm.Ownership(); ownership != inventory.Ours || vm.UUID != w.record.UUID || vm.Name != w.record.Worker {
		s.Errorf("VM %s %q is %s (%s)", vm.ID, vm.Name, ownership, why)
	}
	if !vm.Running || vm.Parked() || vm.State != inventory.Free || vm.Host != s.set.Host && w.card != nil {
		s.Errorf("VM %s is not a running worker: host %q, running %v, %q, tags %v", vm.ID, vm.Host, vm.Running, vm.State, vm.Tags)
	}
	s.isDeclared(w, vm)
	for i := range snapshot.VMs {
		if other := &snapshot.VMs[i]; other.ID != vm.ID && other.Record != nil && other.Record.Worker == w.record.Worker {
			s.Errorf("the worker has another VM, %s", other.ID)
		}
	}
	s.agentAnswers(vm.ID)
	if w.card == nil {
		return
	}
	s.claimedBy(w)
	if holders := snapshot.Holders(s.set.Card); len(holders) != 1 || holders[0].ID != vm.ID {
		s.Errorf("the card is held by %d VMs: %+v", len(holders), holders)
	}
}

// withMACs are declared network cards with the MACs of the VM where none is declared:
// every card of a VM has a MAC before the VM is started.
func (s *scenario) withMACs(declared []inventory.NIC, vm *inventory.VM) []inventory.NIC {
	s.Helper()
	nics := slices.Clone(declared)
	for i := range nics {
		mac := vm.Machine.NIC(i).MAC
		if mac == "" {
			s.Errorf("VM %s: the MAC of network card %d is not known", vm.ID, i)
		}
		if nics[i].MAC == "" {
			nics[i].MAC = mac
		}
	}
	return nics
}

// isDeclared compares the configuration of a VM with the declaration.
func (s *scenario) isDeclared(w *worker, vm *inventory.VM) {
	s.Helper()
	expected := w.machine
	expected.Card = w.card
	expected.Storage = vm.Machine.Storage // the template's
	expected.NICs = s.withMACs(w.machine.NICs, vm)
	for what, is := range map[string]inventory.Machine{"configured": vm.Machine, "running": vm.Applied} {
		if diff := cmp.Diff(expected, is, cmpopts.EquateEmpty()); diff != "" {
			s.Errorf("VM %s as %s (- declared, + is):\n%s", vm.ID, what, diff)
		}
	}
	record := *vm.Record
	record.Version, record.VM = w.record.Version, w.record.VM // may be "" where the hypervisor chooses it
	if record != w.record {
		s.Errorf("VM %s has the record (- declared, + is):\n%s", vm.ID, cmp.Diff(w.record, record))
	}
}

func (s *scenario) agentAnswers(id string) {
	s.Helper()
	snapshot, err := s.lab.Open(&Wire{}).Observe(context.Background(), hypervisor.Scope{Agents: true})
	if err != nil {
		s.Fatal(err)
	}
	if vm := snapshot.VM(id); vm.Agent != inventory.On || len(vm.Addresses) == 0 || slices.Contains(vm.Addresses, "") {
		s.Errorf("Observe gets no answer from the guest of VM %s: %q, %v", id, vm.Agent, vm.Addresses)
	}
}
