package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// BuildAdopt plans to make an existing VM a worker of a declared pool. The VM gets
// the worker's name, our tag and our note; a running VM keeps running. The next
// plan shows all other differences from the declaration.
func BuildAdopt(in Input, id, worker string) (*plan.Plan, error) {
	b := newBuilder(in)
	pool, number := b.documents.poolOf(worker)
	vm := in.Snapshot.VM(id)
	if m := b.adopted(pool, vm, worker); m != nil {
		return b.adoptedAlready(pool, m), nil
	}
	if err := b.adoptable(pool, vm, id, worker); err != nil {
		return nil, err
	}
	d := &draft{Worker: &plan.Worker{Name: worker, Action: plan.Adopt}, pool: pool, number: number}
	d.Host, d.VM = vm.Home(), vm.ID
	d.Ref = &inventory.VMRef{Host: vm.Host, ID: vm.ID, Name: vm.Name, UUID: vm.UUID}
	d.Reason = fmt.Sprintf("%s on %s becomes this worker", place.VMName(vm), vm.Home())
	record := declaredRecord(pool, worker, pci.ID{})
	record.Seed, record.Driver = "", "" // nothing of ours is in its guest
	record.VM, record.UUID, record.Host = vm.ID, vm.UUID, vm.Home()
	if b.world.Capabilities.ChoosesIDs {
		record.VM = ""
	}
	d.Record, d.Steps = &record, []plan.StepKind{plan.StepAdopt}
	if pool.IsGPU() {
		b.adoptCard(d, vm)
	} else if len(vm.Cards) > 0 {
		d.refuse(b.unsuitableCards(vm, "the pool has no GPUs, but the VM has a card attached"))
	}
	b.refuseRemake(d, vm)
	if len(d.Steps) > 0 && vm.State != inventory.Free {
		d.member = &member{vm: vm}
		b.waitForLock(d)
		d.member = nil
	}
	b.add(d)
	return b.plan(), nil
}

// adopted is the worker when the VM already is this worker; otherwise nil.
func (b *builder) adopted(pool *v1alpha1.WorkerPool, vm *inventory.VM, worker string) *member {
	if pool == nil || vm == nil {
		return nil
	}
	m := b.survey.members[workerKeyOf(pool, worker)]
	if m == nil || m.vm != vm || m.unmarked {
		return nil
	}
	return m
}

func (b *builder) adoptedAlready(pool *v1alpha1.WorkerPool, m *member) *plan.Plan {
	d := existingDraft(pool, m)
	b.fill(d)
	d.Action, d.Reason = plan.Keep, fmt.Sprintf("VM %s is already this worker", m.vm.ID)
	b.add(d)
	return b.plan()
}

// refuseRemake refuses to adopt a VM that the next apply would replace.
func (b *builder) refuseRemake(d *draft, vm *inventory.VM) {
	if len(d.Steps) == 0 || isSemiPersistent(d.pool) {
		return
	}
	after := *vm
	after.Record = d.Record
	adopted := &draft{Worker: &plan.Worker{Name: d.Name}, pool: d.pool, number: d.number, member: &member{vm: &after, host: vm.Home(), card: d.Card}}
	_, _, differences := b.differences(adopted)
	for _, difference := range differences {
		if difference.When != plan.NeedsRemake {
			continue
		}
		f := vmFinding(b.world, vm, finding.VMAdoptRemake, finding.Fail)
		f.Reason = fmt.Sprintf("%s is %s, but the pool declares %s, and this cannot be changed in place: the pool is Ephemeral, so the next apply would destroy the VM",
			difference.Field, difference.From, difference.To)
		f.Fix = fmt.Sprintf("set spec.%s to the value that the VM has, or adopt the VM into a SemiPersistent pool", difference.Field)
		d.refuse(f)
		return
	}
}

// adoptable is the error for a VM that cannot be adopted under this name.
func (b *builder) adoptable(pool *v1alpha1.WorkerPool, vm *inventory.VM, id, worker string) error {
	e := &fault.Error{
		Kind: fault.Refused, Doing: "adopt as " + worker,
		Where: fault.Place{Hypervisor: b.world.Hypervisor, VM: id},
	}
	switch {
	case vm == nil:
		e.Kind, e.Why = fault.NotFound, "VM not found, or not visible to the login"
		e.Fix = b.whichVM(id, worker)
	case pool == nil:
		e.Kind, e.Why = fault.Invalid, "no declared pool on this hypervisor has a worker of this name"
		e.Fix = "use a name of the form POOL-NUMBER, or one of spec.names: " + b.exampleNames()
	case vm.Template:
		e.Why, e.Fix = "it is a template", "clone it: gpuworker apply makes workers from templates"
	case vm.Unreadable != "":
		e.Kind, e.Why, e.Fix = fault.Denied, "it cannot be read: "+vm.Unreadable, place.UnreadableFix(b.world, vm)
		if host := b.world.Host(vm.Home()); host == nil || !host.Online {
			e.Kind = fault.Unavailable
		}
	case vm.RecordProblem != "":
		e.Why, e.Fix = vm.RecordProblem, inventory.RecordFix("its note")
	case vm.UUID == "":
		e.Why = "it has no SMBIOS UUID, which is needed to identify it"
		e.Fix = b.world.AdviseVM(inventory.GiveUUID, vm)
	default:
		return b.adoptableName(e, pool, vm, worker)
	}
	return e
}

// whichVM is the fix for an identifier that no VM has: it may be a VM's name.
func (b *builder) whichVM(id, worker string) string {
	for i := range b.world.VMs {
		if vm := &b.world.VMs[i]; vm.Name == id {
			return "this is the name of a VM; use its identifier: " + shell.Command("gpuworker adopt %s --as %s", vm.ID, worker)
		}
	}
	return b.world.Advise(inventory.FindVM, inventory.Subject{})
}

func (b *builder) adoptableName(e *fault.Error, pool *v1alpha1.WorkerPool, vm *inventory.VM, worker string) error {
	if ownership, _ := vm.Ownership(); ownership == inventory.Ours || ownership == inventory.Unmarked {
		e.Why = fmt.Sprintf("it is already worker %s of pool %s", vm.Record.Worker, vm.Record.Pool)
		e.Fix = "gpuworker status shows it"
		return e
	}
	switch m := b.survey.members[workerKeyOf(pool, worker)]; {
	case m == nil:
	case m.vm != nil:
		e.Kind, e.Why = fault.Exists, fmt.Sprintf("worker %s already exists: VM %s on %s", worker, m.vm.ID, m.vm.Home())
		e.Fix = "choose another number"
		return e
	case vm.Home() != m.host || !vm.Holds(m.card):
		e.Kind, e.Why = fault.Exists, fmt.Sprintf("card %s is claimed for worker %s, but is not attached to this VM", m.card, worker)
		e.Fix = "choose another number, or release that card first: " + shell.Command("gpuworker delete %s", worker)
		return e
	}
	for i := range b.world.VMs {
		if other := &b.world.VMs[i]; other.Name == worker && other.ID != vm.ID {
			e.Kind, e.Why = fault.Exists, fmt.Sprintf("%s on %s already has this name", place.VMName(other), other.Host)
			e.Fix = "choose another number, or rename that VM"
			return e
		}
	}
	return nil
}

func (b *builder) exampleNames() string {
	var names []string
	for _, pool := range b.documents.pools {
		names = append(names, pool.WorkerName(1))
	}
	return cmp.Or(strings.Join(names, ", "), "nothing")
}

// adoptCard finds the one card of the VM and plans to claim it.
func (b *builder) adoptCard(d *draft, vm *inventory.VM) {
	var cards []pci.CardRef
	for _, a := range vm.Cards {
		cards = append(cards, a.Cards...)
	}
	slices.SortFunc(cards, pci.CardRef.Compare)
	if cards = slices.Compact(cards); len(cards) != 1 {
		d.refuse(b.unsuitableCards(vm, fmt.Sprintf("a worker of pool %s must have exactly one card attached; the VM has %d", d.pool.Name, len(cards))))
		return
	}
	card := cards[0]
	m := &member{vm: vm, host: card.Host, card: card}
	declared := slices.ContainsFunc(d.pool.Spec.GPUs, func(r v1alpha1.GPURequest) bool {
		f := fits(b.world, d.pool, &r, m)
		return f == fitNamed || f == fitSeen
	})
	d.Card, d.Model = card, b.model(m)
	if !declared {
		d.refuse(b.unsuitableCards(vm, fmt.Sprintf("no entry of spec.gpus of pool %s matches its card %s", d.pool.Name, card)))
		return
	}
	blocking, notes := b.judgeAdopted(d, vm, card)
	if len(blocking) > 0 {
		d.refuse(blocking...)
		return
	}
	d.Notes = append(d.Notes, notes...)
	d.Record.Card = card
	d.Steps = []plan.StepKind{plan.StepClaim, plan.StepAdopt}
	if b.world.Capabilities.ClaimsInVM {
		d.Steps = []plan.StepKind{plan.StepAdopt, plan.StepClaim}
	}
}

// judgeAdopted judges the card of a VM that is to be adopted.
func (b *builder) judgeAdopted(d *draft, vm *inventory.VM, card pci.CardRef) (blocking, notes []finding.Finding) {
	host := b.world.Host(vm.Home())
	if host == nil {
		return []finding.Finding{place.CheckHost(b.world, vm.Home())}, nil
	}
	if there := place.CheckCardThere(b.world, host, card.Slot); there.Blocks() {
		return []finding.Finding{there}, nil
	}
	return b.capacity.JudgeCard(host, *host.Device(card.Slot), place.Holder{WorkerKey: workerKeyOf(d.pool, d.Name), VM: vm.ID})
}

// unsuitableCards is the finding of a VM whose attached cards do not fit the pool.
func (b *builder) unsuitableCards(vm *inventory.VM, why string) finding.Finding {
	return vmFinding(b.world, vm, finding.VMCardDiffers, finding.Fail).
		WithReason(why).
		WithFix(b.world.AdviseVM(inventory.LookAtVM, vm))
}
