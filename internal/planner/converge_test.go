package planner

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// toy is a hypervisor that carries out each step at once.
type toy struct {
	world     *inventory.Snapshot
	made      int      // VMs, so far
	destroyed []string // UUIDs
}

// do does the first n steps of a worker, like a run that is killed after them.
func (h *toy) do(w *plan.Worker, n int) {
	record := inventory.Record{}
	if w.Record != nil {
		record = *w.Record
		if record.UUID == "" {
			h.made++
			record.UUID = fmt.Sprintf("new-identity-%d-of-%s", h.made, record.Worker)
		}
	}
	defer inventorytest.Range(h.world, 9100, 9199)
	vmid := record.VM
	if w.Ref != nil {
		vmid = w.Ref.ID
	}
	if n < len(w.Steps) && w.Steps[n] == plan.StepConfigure {
		defer h.markOnly(vmid, record) // killed between the marks and the rest
	}
	for _, step := range w.Steps[:n] {
		if step == plan.StepClone {
			vmid = record.VM
		}
		h.step(step, w, record, h.world.VM(vmid))
	}
}

func (h *toy) step(step plan.StepKind, w *plan.Worker, record inventory.Record, vm *inventory.VM) {
	switch step {
	case plan.StepClaim:
		h.release(w.Card)
		h.world.Claims = append(h.world.Claims, inventory.Claim{Card: w.Card, Register: "gpu", Record: record})
	case plan.StepRelease:
		h.release(w.Card)
	case plan.StepClone:
		h.clone(w, record)
	case plan.StepConfigure, plan.StepAdopt:
		if step == plan.StepAdopt {
			record.UUID, record.Replacing = w.Ref.UUID, "" // the new ones are the successor's
		}
		vm.Tags, vm.UUID, vm.Name = append(vm.Tags, inventory.OwnerTag), record.UUID, record.Worker
		vm.Record = &record
		if step == plan.StepConfigure {
			configure(vm, *w.Desired)
		}
	case plan.StepAttach:
		vm.Machine.Card = w.Desired.Card
		vm.Cards = []inventory.Attachment{{Key: "hostpci0", Cards: []pci.CardRef{w.Card}, Pending: vm.Running}}
		settleVM(vm)
	case plan.StepStart:
		vm.Running, vm.Applied = true, vm.Machine
		h.world.Host(vm.Host).MemoryUsed += int64(vm.Applied.MemoryMiB) << 20
	case plan.StepShutdown:
		if vm.Running {
			h.world.Host(vm.Host).MemoryUsed -= int64(vm.Applied.MemoryMiB) << 20
		}
		vm.Running = false
		settleVM(vm)
	case plan.StepUnprotect:
		vm.Machine.Protection, vm.Applied.Protection = false, false
	case plan.StepReplaced:
		record.Replaced, record.Replacing = record.Replacing, ""
		record.Bootstrapped = vm.Record.Bootstrapped // apply carries it from step to step
		vm.Record = &record
	case plan.StepSeed:
		vm.Seed, vm.CloudInit = inventory.FirstSeed, false
	case plan.StepExchange:
		vm.Seed = inventory.CleanSeed
	case plan.StepRecord:
		record.Bootstrapped = "2026-11-30T10:00:00Z"
		vm.Record = &record
	case plan.StepDeliver, plan.StepBootstrap, plan.StepOrders, plan.StepUnseed:
	case plan.StepDestroy:
		h.destroyed = append(h.destroyed, vm.UUID)
		h.world.VMs = slices.DeleteFunc(h.world.VMs, func(other inventory.VM) bool { return other.ID == vm.ID })
	case plan.StepPark:
		vm.Tags = append(vm.Tags, inventory.ParkedTag)
	case plan.StepUnpark:
		vm.Tags = slices.DeleteFunc(vm.Tags, func(tag string) bool { return tag == inventory.ParkedTag })
	case plan.StepAgent, plan.StepSettle:
	case plan.StepDisown:
		vm.Tags, vm.Record = nil, nil
	}
}

// markOnly does the first half of configure.
func (h *toy) markOnly(vmid string, record inventory.Record) {
	if vm := h.world.VM(vmid); vm != nil && vm.Record != nil && vm.Record.Worker == record.Worker {
		vm.Tags, vm.UUID, vm.Record = append(vm.Tags, inventory.OwnerTag), record.UUID, &record
	}
}

func (h *toy) release(card pci.CardRef) {
	h.world.Claims = slices.DeleteFunc(h.world.Claims, func(c inventory.Claim) bool { return c.Card == card })
}

func (h *toy) clone(w *plan.Worker, record inventory.Record) {
	vm := *h.world.VM(w.Source.VM)
	vm.ID, vm.Host, vm.Name, vm.Template, vm.Record, vm.UUID = record.VM, record.Host, record.Worker, false, &record, "that-of-the-clone"
	h.world.VMs = append(h.world.VMs, vm)
	slices.SortFunc(h.world.VMs, func(a, b inventory.VM) int { return inventory.CompareIDs(a.ID, b.ID) })
}

// configure writes what is desired. Of a running VM some takes effect later.
func configure(vm *inventory.VM, desired inventory.Machine) {
	was, now := vm.Machine, desired
	now.Card, now.Storage = was.Card, was.Storage
	if now.Firmware == "" {
		now.Firmware = was.Firmware
	}
	now.DiskMiB = max(now.DiskMiB, was.DiskMiB)
	vm.Machine = now
	if !vm.Running {
		vm.Applied = now
		return
	}
	applied := view{machine: vm.Applied}
	for _, f := range fields {
		if f.when != plan.NeedsStop {
			f.set(&applied, &view{machine: now})
		}
	}
	vm.Applied = applied.machine
}

// settleVM makes what is pending real on a VM that is stopped.
func settleVM(vm *inventory.VM) {
	if vm.Running {
		return
	}
	vm.Applied = vm.Machine
	for i := range vm.Cards {
		vm.Cards[i].Pending = false
	}
}

// TestRunsConvergeWhereverTheyAreKilled kills a run after any step of any worker and
// runs the same command again: at the end nothing is left to do, and every plan on
// the way keeps the invariants.
func TestRunsConvergeWhereverTheyAreKilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Request.AllOrNothing = false
		h := &toy{world: in.Snapshot}
		p := Build(in)
		for w := range p.Workers() {
			h.do(w, rapid.IntRange(0, len(w.Steps)).Draw(t, "killed after"))
		}
		named := in.Request.Workers
		in.Request.Verb, in.Request.Workers = plan.ApplyDocuments, nil // a name counts for one run
		for run := 1; ; run++ {
			p = Build(in)
			checkInvariants(t, in, p, nil)
			if p.Empty() {
				break
			}
			if run > 3 {
				t.Fatalf("after %d runs (replacing %v) there is still something to do: %v", run, named, lines(p))
			}
			t.Logf("run %d: %v", run, lines(p))
			for w := range p.Workers() {
				h.do(w, len(w.Steps))
			}
		}
		for w := range p.Workers() {
			if slices.Contains([]plan.Action{plan.Create, plan.Finish, plan.Update, plan.Restart, plan.Start, plan.Replace, plan.Destroy}, w.Action) {
				t.Fatalf("%s has action %s, but no steps", w.Name, w.Action)
			}
		}
	})
}

// TestARepeatedReplaceDestroysNothingMore kills a replace after any step and runs the
// same command again, also when it is done: only VMs that existed at the beginning
// are destroyed.
func TestARepeatedReplaceDestroysNothingMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Request.Verb, in.Request.Workers = plan.ReplaceWorkers, []string{rapid.SampledFrom(somePools).Draw(t, "replaced pool") + "-1"}
		in.Request.KeepRecent = true
		h := &toy{world: in.Snapshot}
		there := map[string]bool{}
		for i := range in.Snapshot.VMs {
			there[in.Snapshot.VMs[i].UUID] = true
			if r := in.Snapshot.VMs[i].Record; r != nil {
				there[r.UUID] = true // of a clone that is marked before its end
			}
		}
		for run := 0; run < 6; run++ {
			p, err := BuildReplace(in)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("run %d: %v", run, lines(p))
			if run > 3 && !p.Empty() {
				t.Fatalf("after %d runs there is still something to do: %v", run, lines(p))
			}
			for w := range p.Workers() {
				n := len(w.Steps)
				if run < 2 {
					n = rapid.IntRange(0, n).Draw(t, "killed after")
				}
				h.do(w, n)
			}
			for _, uuid := range h.destroyed {
				if !there[uuid] {
					t.Fatalf("run %d destroyed VM %s, which the replace itself had made", run, uuid)
				}
			}
		}
	})
}

// TestADeletedWorkerLeavesNothingWhereverTheRunIsKilled does the same for delete.
func TestADeletedWorkerLeavesNothingWhereverTheRunIsKilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		h := &toy{world: in.Snapshot}
		name := rapid.SampledFrom(somePools).Draw(t, "pool to delete from") + "-1"
		for run := 0; ; run++ {
			p, err := BuildDelete(in, []string{name})
			if err != nil || p.Empty() {
				break // unknown by now, refused, waiting, or gone
			}
			t.Logf("run %d: %v", run, lines(p))
			checkInvariants(t, in, p, []string{name})
			if run > 2 {
				t.Fatalf("after %d runs there is still something to do: %v", run, lines(p))
			}
			for w := range p.Workers() {
				n := len(w.Steps)
				if run == 0 {
					n = rapid.IntRange(0, n).Draw(t, "killed after")
				}
				h.do(w, n)
			}
		}
	})
}
