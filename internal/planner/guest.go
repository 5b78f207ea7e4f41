package planner

import (
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// gpuID is vendor and device of a card; zero when it cannot be seen.
func (b *builder) gpuID(card pci.CardRef) pci.ID {
	host := b.world.Host(card.Host)
	if card.IsZero() || host == nil || host.Device(card.Slot) == nil {
		return pci.ID{}
	}
	gpu, _ := host.Device(card.Slot).GPU()
	return gpu.ID
}

// pastFirstBoot reports whether the guest was set up from our seed, or may be just now.
func pastFirstBoot(vm *inventory.VM) bool {
	return vm.Record.Seed == inventory.SeedISO && (vm.Record.Bootstrapped != "" || vm.Running)
}

// keepGuest takes from the VM what its declaration cannot change: the seed and driver of
// an adopted VM without gpuworker-guest, and a driver that depends on a card that cannot
// be seen.
func keepGuest(declared *inventory.Record, d *draft) {
	have := d.member.vm.Record
	adopted := have.Template == "" && declared.Seed == inventory.SeedISO && have.Seed == ""
	if adopted || !d.member.card.IsZero() && d.GPUID.IsZero() {
		declared.Seed, declared.Driver = have.Seed, have.Driver
	}
}

// startSteps are the steps that start the VM of a draft and prove its guest. Its record is
// that of the VM after the steps before. Only the first boot needs a declared pool: what a
// guest gets then is made of the document.
func startSteps(d *draft) []plan.StepKind {
	steps := []plan.StepKind{plan.StepStart, plan.StepAgent}
	switch {
	case d.Record.Driver == "":
		return steps
	case d.Record.Bootstrapped != "":
		steps = append(steps, plan.StepOrders, plan.StepBootstrap)
		if d.Record.GPU == "" && !d.Record.Card.IsZero() && driver.Words(d.Record.Driver).Loaded() { // somebody erased it
			steps = append(steps, plan.StepRecord)
		}
		if d.lostSeed() {
			steps = slices.Insert(steps, 0, plan.StepExchange)
		}
		return steps
	case d.pool == nil || !d.pool.UsesGuestProgram():
		return steps
	case d.Record.Seed == inventory.SeedISO:
		steps = []plan.StepKind{plan.StepSeed, plan.StepStart, plan.StepAgent}
	}
	return append(steps, firstProof(d)...)
}

// lostSeed reports whether somebody took the clean seed from a proven worker, and it can be
// made again: without it cloud-init resets the network at the next boot.
func (d *draft) lostSeed() bool {
	declared := d.pool != nil && d.pool.UsesGuestProgram() && !d.Undeclared
	return declared && d.Record.Seed == inventory.SeedISO && d.member != nil && d.member.vm != nil && d.member.vm.Seed != inventory.CleanSeed
}

// firstProof are the steps after the agent answered that prove a guest for the first time.
func firstProof(d *draft) []plan.StepKind {
	var steps []plan.StepKind
	seeded := d.Record.Seed == inventory.SeedISO
	if !seeded || d.pool.Spec.Bootstrap.Delivery == v1alpha1.DeliveryGuestAgent {
		steps = append(steps, plan.StepDeliver)
	}
	steps = append(steps, plan.StepBootstrap, plan.StepOrders)
	if seeded {
		steps = append(steps, plan.StepExchange)
	}
	return append(steps, plan.StepRecord)
}

// finishGuest adds the steps that a running guest still needs: its first proof, or the
// seed that it must keep.
func (b *builder) finishGuest(d *draft) {
	vm, declared := d.member.vm, d.pool != nil && d.pool.UsesGuestProgram() && !d.Undeclared
	if !vm.Running || !declared || d.Record.Driver == "" || !awaitsMore(d.Action) {
		return
	}
	seeded := d.Record.Seed == inventory.SeedISO
	switch {
	case d.Record.Bootstrapped == "" && seeded && vm.Seed == inventory.NoSeed:
		b.startedWithoutSeed(d)
	case d.Record.Bootstrapped == "":
		d.finishBecause("its guest is not proven yet")
		d.Steps = append(append(d.Steps, plan.StepAgent), firstProof(d)...)
	case d.lostSeed():
		d.finishBecause("its seed will be put back, because without it cloud-init resets the network at the next boot")
		d.Steps = append(d.Steps, plan.StepExchange)
	}
}

// finishBecause plans to finish a worker. What was decided before is kept, unless it was
// that nothing is missing.
func (d *draft) finishBecause(why string) {
	if d.Action != plan.Keep {
		why = d.Reason + "; " + why
	}
	d.Action, d.Reason = plan.Finish, why
}

// awaitsMore reports whether a running worker with this action may need more steps.
func awaitsMore(action plan.Action) bool {
	return action == plan.Keep || action == plan.Hold || action == plan.Update || action == plan.Finish
}

// startedWithoutSeed decides about a VM that somebody started before it had its seed.
func (b *builder) startedWithoutSeed(d *draft) {
	if !d.semiPersistent() {
		b.replace(d, "was started without its seed")
		return
	}
	f := vmFinding(b.world, d.member.vm, finding.GuestNoSeed, finding.Fail)
	f.Reason = "VM " + d.member.vm.ID + " was started before it had its seed, so cloud-init did not make it a worker"
	f.Fix = "shut it down; the next " + shell.Command("gpuworker apply") + " gives it the seed and starts it"
	d.Action, d.Reason, d.Hint, d.Steps = plan.Hold, f.Reason, f.Fix, nil
	d.Notes = append(d.Notes, f)
}
