package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// semiPersistent reports whether only a person may delete the worker: because its
// pool or its own record says so. A change of the pool alone does not make an
// existing worker ephemeral.
func (d *draft) semiPersistent() bool {
	if d.pool != nil && isSemiPersistent(d.pool) {
		return true
	}
	return d.member != nil && d.member.record().Lifecycle != string(v1alpha1.Ephemeral)
}

// retire decides about a worker that is no longer declared.
func (b *builder) retire(d *draft) {
	if d.pool == nil { // the pool may be declared in another file
		d.Action, d.Reason, d.Hint = plan.Hold, "no document declares it", b.endHint(d.member)
		if ends := shell.Command("gpuworker delete %s", d.Name); d.Hint == ends && len(b.documents.pools) == 0 {
			d.Hint = "declare its pool, or delete it: " + ends // the documents may have only the login
		}
		return
	}
	if d.semiPersistent() || !d.member.card.IsZero() {
		d.Action, d.Reason = plan.Hold, "no longer declared; GPU and semi-persistent workers are deleted only by name"
		d.Hint = shell.Command("gpuworker delete %s", d.Name)
		return
	}
	b.destroy(d, "no longer declared")
}

// endHint says how to delete a worker that no document declares.
func (b *builder) endHint(m *member) string {
	switch {
	case b.documents.onOtherHypervisor(m.Worker):
		return fmt.Sprintf("another Hypervisor document declares a worker of this name; unless it is the same hypervisor under another endpoint, delete this worker with documents whose only Hypervisor is %s", b.world.Hypervisor)
	case b.documents.pool(m.record()) == nil && b.isDeclared(m.Worker):
		return fmt.Sprintf("a declared worker has this name too; to delete this one, use documents that declare %s", m.PoolWords())
	}
	return shell.Command("gpuworker delete %s", m.Worker)
}

// isDeclared reports whether a declared pool has a worker of this name.
func (b *builder) isDeclared(worker string) bool {
	pool, _ := b.documents.poolOf(worker)
	return pool != nil
}

// destroy plans the end of a worker.
func (b *builder) destroy(d *draft, why string) {
	d.Action, d.Reason, d.Steps = plan.Destroy, why, endSteps(d.member)
	if d.member.unmarked {
		d.Ref.UUID = d.member.vm.UUID
	}
}

// endSteps are the steps that destroy a VM. A clone that is not marked yet is marked
// first: only a VM that is proven to be ours is destroyed.
func endSteps(m *member) []plan.StepKind {
	var steps []plan.StepKind
	if m.unmarked {
		steps = append(steps, plan.StepAdopt)
	}
	steps = append(steps, plan.StepUnprotect, plan.StepShutdown)
	if m.record().Seed == inventory.SeedISO || m.vm.Seed != inventory.NoSeed { // a VM that was adopted may have an image of ours
		steps = append(steps, plan.StepUnseed)
	}
	return append(steps, plan.StepDestroy)
}

// refuseOnWrongHost refuses a GPU worker whose VM is not on the host of its card.
func (b *builder) refuseOnWrongHost(d *draft) bool {
	m := d.member
	if m.card.IsZero() || m.vm.Home() == m.host {
		return false
	}
	f := vmFinding(b.world, m.vm, finding.VMElsewhere, finding.Fail)
	f.Where.Card = m.card.BDF()
	f.Reason = fmt.Sprintf("VM %s is on %s, its card is %s", m.vm.ID, m.vm.Home(), m.card)
	f.Fix = b.world.Advise(inventory.MoveBack, inventory.Subject{Host: m.vm.Home(), VM: m.vm.ID, To: m.host})
	d.refuse(f)
	return true
}

// holdForeignCards holds a worker whose VM has other cards than the worker's own.
func (b *builder) holdForeignCards(d *draft) bool {
	var keys []string
	for _, a := range d.member.vm.Cards {
		if !a.Leaving && !slices.Contains(keys, a.Key) {
			keys = append(keys, a.Key)
		}
	}
	own, owned := 0, "no card"
	if !d.member.card.IsZero() {
		own, owned = 1, "only "+d.member.card.String()
	}
	if len(keys) <= own {
		return false
	}
	vm := d.member.vm
	f := vmFinding(b.world, vm, finding.VMCardDiffers, finding.Fail)
	f.Reason = fmt.Sprintf("VM %s has %s attached, but its worker owns %s", vm.ID, strings.Join(keys, ", "), owned)
	f.Fix = b.world.AdviseVM(inventory.TakeRestOut, vm)
	d.Action, d.Reason, d.Hint = plan.Hold, f.Reason, f.Fix
	d.Notes = append(d.Notes, f)
	return true
}
