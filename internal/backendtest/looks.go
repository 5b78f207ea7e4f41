package backendtest

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// looks are scenarios about observations, which must agree with the capabilities.
func (s suite) looks(t *testing.T) {
	s.scene(t, "one VM", func(s *scenario) {
		e, w := s.complete()
		one, err := e.b.ObserveVM(context.Background(), w.ref)
		if err != nil || one == nil {
			s.Fatalf("the VM is not seen: %v", err)
		}
		all := s.vm(w)
		all.Agent, all.Addresses = "", nil
		if diff := cmp.Diff(all, one, cmpopts.EquateEmpty()); diff != "" {
			s.Errorf("ObserveVM and Observe differ (- all, + one):\n%s", diff)
		}
		s.lab.Remove(w.ref.ID)
		if one, err = e.b.ObserveVM(context.Background(), w.ref); one != nil || err != nil {
			s.Errorf("a missing VM is seen as %+v, %v", one, err)
		}
	})
	s.scene(t, "what waits for a restart", func(s *scenario) {
		e, w := s.complete()
		was := w.machine.MemoryMiB
		w.machine.MemoryMiB += 1024
		e.must(w, configure)
		if vm := s.vm(w); vm.Machine.MemoryMiB != w.machine.MemoryMiB || vm.Applied.MemoryMiB != was {
			s.Errorf("it runs with %d MiB and waits for %d MiB, want %d and %d", vm.Applied.MemoryMiB, vm.Machine.MemoryMiB, was, w.machine.MemoryMiB)
		}
		e.must(w, stop, start, agent)
		s.isComplete(w)
	})
	s.scene(t, "a clone under way", func(s *scenario) {
		e := s.engine("ops@desk")
		e.retries = true // the handle of the clone is lost
		w := e.worker("plain-1", "plain", 1)
		before := len(s.observe().VMs)
		wait, err := e.once(clone, w, "")
		if err != nil || wait == nil || !wait.UnderWay {
			s.Fatalf("the clone is not under way: %+v, %v", wait, err)
		}
		var found []inventory.VM
		for _, vm := range s.observe().VMs {
			if vm.State == inventory.Cloning {
				found = append(found, vm)
			}
		}
		if len(found) != 1 || len(s.observe().VMs) != before+1 {
			s.Fatalf("of %d VMs are being cloned: %+v", before+1, found)
		}
		one, err := e.b.ObserveVM(context.Background(), inventory.VMRef{Host: w.ref.Host, ID: found[0].ID})
		if err != nil || one == nil || one.State != inventory.Cloning {
			s.Errorf("a look at the one VM shows %+v, %v", one, err)
		}
		e.must(w, clone)
		if vm := s.vm(w); vm.State != inventory.Free || vm.ID != found[0].ID {
			s.Errorf("after the clone: %+v", vm)
		}
	})
	s.scene(t, "identifiers", (*scenario).identifiers)
	s.scene(t, "hosts", (*scenario).hosts)
	s.scene(t, "where claims are", func(s *scenario) {
		_, w := s.complete()
		claim := s.observe().Claim(s.set.Card)
		if claim == nil || claim.Stale != "" || claim.Problem != "" {
			s.Fatalf("the claim is seen as %+v", claim)
		}
		if (claim.Register == w.ref.ID) != s.can.ClaimsInVM {
			s.Errorf("the claim is in %q, the VM is %q, claims are in VMs: %v", claim.Register, w.ref.ID, s.can.ClaimsInVM)
		}
	})
}

// identifiers checks who chooses those of new VMs.
func (s *scenario) identifiers() {
	ctx, e := context.Background(), s.engine("ops@desk")
	snapshot := s.observe()
	if s.can.ChoosesIDs {
		if _, err := e.b.FreeID(ctx, nil); !fault.Is(err, fault.Unsupported) || fault.FixOf(err) == "" || len(snapshot.FreeIDs) > 0 {
			s.Errorf("it chooses identifiers, and proposes some: %v, %v", err, snapshot.FreeIDs)
		}
		s.lab.Make("plain-1", "") // then names tell VMs apart
		_ = e.refused(e.worker("plain-1", "plain", 1), clone, fault.Exists)
		return
	}
	if len(snapshot.FreeIDs) < 2 || snapshot.IDRange == "" {
		s.Fatalf("two identifiers were wanted, there are %v (%q)", snapshot.FreeIDs, snapshot.IDRange)
	}
	taken := map[string]bool{}
	for range 3 {
		id, err := e.b.FreeID(ctx, taken)
		if err != nil || taken[id] || snapshot.VM(id) != nil {
			s.Fatalf("proposed %q (%v), taken are %v", id, err, taken)
		}
		taken[id] = true
	}
	claimed := e.gpuWorker("gpu-1", 3)
	e.must(claimed, s.making(claimed)[0])
	if free := s.observe().FreeIDs; slices.Contains(free, claimed.record.VM) {
		s.Errorf("%s is free, and claimed for a VM that is to be made: %v", claimed.record.VM, free)
	}
	w, other := e.worker("plain-1", "plain", 1), e.worker("plain-2", "plain", 2)
	e.must(w, clone)
	other.record.VM, other.ref.ID = w.record.VM, w.ref.ID
	_ = e.refused(other, clone, fault.Exists)
	if id, err := e.b.FreeID(ctx, nil); err != nil || id == w.ref.ID {
		s.Errorf("proposed %q, which is in use (%v)", id, err)
	}
}

// hosts checks when a VM has a host, and whether groups are visible.
func (s *scenario) hosts() {
	e, w := s.made()
	e.must(w, attach)
	for _, running := range []bool{false, true, false} {
		vm := s.vm(w)
		if has := vm.Host != ""; has != (running || !s.can.BindsAtPowerOn) {
			s.Errorf("running %v, it is on host %q", running, vm.Host)
		}
		if holders := s.observe().Holders(s.set.Card); len(holders) != 1 {
			s.Errorf("running %v, the card has holders %+v", running, holders)
		}
		e.must(w, map[bool]call{false: start, true: stop}[running])
	}
	host := s.observe().Host(s.set.Host)
	card := host.Device(s.set.Card.Slot)
	if card == nil || !host.Online {
		s.Fatalf("the card is not seen on %+v", host)
	}
	if hidden := card.Functions[0].Group == pci.NoGroup; hidden != s.can.HidesGroups || hidden && host.IOMMU != inventory.Unknown {
		s.Errorf("groups are hidden: %v, the card is in group %d, IOMMU %q", s.can.HidesGroups, card.Functions[0].Group, host.IOMMU)
	}
	if _, err := e.b.Observe(context.Background(), hypervisor.Scope{}); err != nil {
		s.Error(err)
	}
	if snapshot := s.observe(); snapshot.Capabilities != s.can {
		s.Errorf("the snapshot says %+v, the backend %+v", snapshot.Capabilities, s.can)
	}
}
