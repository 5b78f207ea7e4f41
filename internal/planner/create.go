package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// create decides about a worker without a VM.
func (b *builder) create(d *draft) {
	if d.member != nil {
		b.fill(d)
	}
	if conflicts := b.nameConflicts(d); len(conflicts) > 0 {
		d.refuse(conflicts...)
		return
	}
	if d.member == nil && len(d.pool.Spec.Names) > 0 && d.number > len(d.pool.Spec.Names) {
		d.refuse(b.noName(d))
		return
	}
	if d.member != nil && b.claimedClone(d) {
		return
	}
	if d.request == nil && d.member == nil && b.hidden != nil {
		d.refuse(b.unreadable(b.hidden, d.Name))
		return
	}
	if d.request == nil && d.member == nil && b.unnamedClone != "" {
		d.Action = plan.Wait
		d.Reason = fmt.Sprintf("VM %s is being cloned by an earlier run or another engine; apply waits for it", b.unnamedClone)
		d.await(b.world.VM(b.unnamedClone))
		return
	}
	b.place(d, nil)
	if d.Action == plan.Create && d.Record.Replacing != "" {
		d.Reason += fmt.Sprintf("; replaces VM %s, which is gone", d.Record.Replacing)
	}
}

// replaceRequested reports whether a person wants the worker replaced.
func (b *builder) replaceRequested(d *draft) bool {
	_, named := b.named[d.Name]
	return named && b.in.Request.Verb == plan.ReplaceWorkers
}

// requestedVM is the UUID of the VM that a person wants replaced; "" when none was given.
func (b *builder) requestedVM(d *draft) string {
	if i, named := b.named[d.Name]; named && i < len(b.in.Request.UUIDs) {
		return b.in.Request.UUIDs[i]
	}
	return ""
}

// place chooses host, card and VM number for a worker and plans how it is made. own
// is the VM that is destroyed first; nil when there is none.
func (b *builder) place(d *draft, own *inventory.VM) {
	machine, enough := declaredMachine(b.world.Capabilities, d.pool, d.number, pci.CardRef{})
	if !enough {
		d.refuse(b.noAddress(d))
		return
	}
	needs := b.needs(d)
	if refusals := place.RefuseAccess(b.world, needs.Card != nil); len(refusals) > 0 {
		d.refuse(refusals...)
		return
	}
	placement, notes, refusals := b.placementOf(d, needs)
	if len(refusals) > 0 {
		d.refuse(refusals...)
		return
	}
	id, ok := b.newID(d, own)
	if !ok {
		d.refuse(b.noIDs())
		return
	}
	d.Action, d.Host, d.Card, d.Model, d.VM = plan.Create, placement.Host, placement.Card, placement.Model, id
	if len(d.Notes) > 0 && d.Notes[0].ID == finding.VMCloneStuck {
		placement.Reason += fmt.Sprintf("; another VM number, because VM %s is stuck", d.Notes[0].Where.VM)
	}
	d.Reason, d.Notes = placement.Reason, append(d.Notes, notes...)
	machine, _ = declaredMachine(b.world.Capabilities, d.pool, d.number, placement.Card)
	d.Desired = &machine
	d.Source = b.source(d.pool, placement.Template)
	d.GPUID = b.gpuID(placement.Card)
	record := declaredRecord(d.pool, d.Name, d.GPUID)
	record.VM, record.Host, record.Card, record.Template = id, placement.Host, placement.Card, placement.Template.Name
	record.Replacing = b.replacing(d)
	if d.Source.Full {
		record.Clone = string(v1alpha1.CloneFull)
	}
	d.Record = &record
	d.Steps = append(makingSteps(!placement.Card.IsZero(), b.world.Capabilities), startSteps(d)...)
	if record.Replacing != "" {
		d.Steps = append(d.Steps, plan.StepReplaced)
	}
}

// placementOf places a worker. A worker that is replaced stays on its host when it
// fits there.
func (b *builder) placementOf(d *draft, needs place.Requirements) (place.Placement, []finding.Finding, []finding.Finding) {
	if d.member == nil || d.member.vm == nil || needs.Card != nil {
		return b.placement(d, needs)
	}
	host, same := d.member.vm.Home(), needs
	same.Hosts = []string{host}
	if len(needs.Hosts) > 0 && !slices.Contains(needs.Hosts, host) {
		return b.search(d).Place(d.Name)
	}
	placement, notes, here := b.capacity.Place(same)
	if len(here) == 0 {
		return placement, notes, nil
	}
	placement, notes, refusals := b.search(d).Place(d.Name) // on other hosts it needs as much as a new worker
	return placement, notes, ofHost(refusals, host, here)
}

// ofHost replaces the refusals of one host by those in here. When they are equal it
// returns the same list, so that thousands of workers can share it.
func ofHost(refusals []finding.Finding, host string, here []finding.Finding) []finding.Finding {
	isHere := func(f finding.Finding) bool { return f.Where.Host == host }
	first := slices.IndexFunc(refusals, isHere)
	if first < 0 {
		return refusals
	}
	if end := first + len(here); end <= len(refusals) && slices.Equal(refusals[first:end], here) && !slices.ContainsFunc(refusals[end:], isHere) {
		return refusals
	}
	rest := slices.DeleteFunc(slices.Clone(refusals), isHere)
	return slices.Insert(rest, first, here...)
}

// requestKey groups the new workers of a plan that have the same requirements: they
// differ only in their names.
type requestKey struct {
	pool    *v1alpha1.WorkerPool
	request *v1alpha1.GPURequest // the first equal entry of the document
}

func (d *draft) requestKey() requestKey { return requestKey{d.pool, d.request} }

// placement places a worker that has no VM. New workers with the same requirements
// share one search.
func (b *builder) placement(d *draft, needs place.Requirements) (place.Placement, []finding.Finding, []finding.Finding) {
	if d.member != nil || needs.Card != nil && !needs.Card.Ref.IsZero() {
		return b.capacity.Place(needs)
	}
	return b.search(d).Place(d.Name)
}

func (b *builder) search(d *draft) *place.Search {
	if b.searches[d.requestKey()] == nil {
		b.searches[d.requestKey()] = b.capacity.Search(RequirementsOf(b.world.Capabilities, d.pool, d.Name, d.request))
	}
	return b.searches[d.requestKey()]
}

// makingSteps are the steps that make the VM of a worker. Where the hypervisor has no register
// of claims, the claim is written into the VM, so the VM is cloned first.
func makingSteps(withCard bool, can inventory.Capabilities) []plan.StepKind {
	switch {
	case withCard && can.ClaimsInVM:
		return []plan.StepKind{plan.StepClone, plan.StepConfigure, plan.StepClaim, plan.StepAttach}
	case withCard:
		return []plan.StepKind{plan.StepClaim, plan.StepClone, plan.StepConfigure, plan.StepAttach}
	}
	return []plan.StepKind{plan.StepClone, plan.StepConfigure}
}

func (b *builder) source(pool *v1alpha1.WorkerPool, template *inventory.VM) *plan.Source {
	source := &plan.Source{Template: template.Name, VM: template.ID, Host: template.Host}
	source.TargetStorage = template.Machine.Storage
	if pool.Spec.Template.Clone == v1alpha1.CloneFull {
		source.Full, source.Storage = true, pool.Spec.Machine.Disk.Storage
		source.TargetStorage = cmp.Or(source.Storage, source.TargetStorage)
	}
	if host := b.world.Host(template.Host); host != nil {
		if storage := host.Storage(source.TargetStorage); storage == nil || !storage.Shared {
			source.TargetHost = host.Name
		}
	}
	return source
}

// newID is the identifier of a new VM: that of the VM that it replaces, or that of
// the claim while no other VM has it, or the next free one; "" when the hypervisor
// chooses it. ok is false when no identifier is left.
func (b *builder) newID(d *draft, own *inventory.VM) (id string, ok bool) {
	switch {
	case b.world.Capabilities.ChoosesIDs:
		return "", true
	case own != nil && own.FromRange:
		return own.ID, true
	}
	if d.member != nil && d.member.vm == nil {
		claim := d.member.claim
		if claim.FromRange && b.world.VM(claim.Record.VM) == nil && b.survey.claimed[claim.Record.VM] == d.member {
			return claim.Record.VM, true
		}
	}
	if b.usedIDs == len(b.world.FreeIDs) {
		return "", false
	}
	b.usedIDs++
	return b.world.FreeIDs[b.usedIDs-1], true
}

func (b *builder) noIDs() finding.Finding {
	return finding.New(finding.IDRangeFull, finding.Fail, fault.Place{Hypervisor: b.world.Hypervisor}).
		WithReason(fmt.Sprintf("all VM numbers from %s are in use or allocated by this plan", b.world.IDRange)).
		WithFix(b.world.Advise(inventory.MoreIDs, inventory.Subject{}))
}

func (b *builder) noAddress(d *draft) finding.Finding {
	return finding.New(finding.AddressShort, finding.Fail, fault.Place{Hypervisor: b.world.Hypervisor, Worker: d.Name}).
		WithReason(fmt.Sprintf("a list of addresses or macs in spec.networks has fewer than %d entries, but worker number %d uses the entry with its number", max(d.number, 1), d.number)).
		WithFix("add entries at the end of the list")
}

// claimedClone decides about a claim whose VM number is in use: by the clone of an
// earlier run, or by a VM that is not ours. It returns false when the worker can be
// made.
func (b *builder) claimedClone(d *draft) bool {
	vm := b.world.VM(d.member.claim.Record.VM)
	switch {
	case vm == nil:
		return false
	case vm.State == inventory.Cloning:
		d.Action = plan.Wait
		d.Reason = fmt.Sprintf("VM %s is being cloned for it by an earlier run or another engine; apply waits for it", vm.ID)
		d.await(vm)
		return true
	case vm.Unreadable != "":
		d.refuse(b.unreadable(vm, d.Name))
		return true
	case vm.State == inventory.CloneDead:
		d.Notes = append(d.Notes, StuckClone(b.world, vm))
	}
	return false
}

// findHidden finds a VM that may be one of our plain workers, judging by its
// identifier, but whose name and record cannot be read, as when its host is off.
// nil when there is none.
func (b *builder) findHidden() *inventory.VM {
	for i := range b.world.VMs {
		vm := &b.world.VMs[i]
		if vm.Unreadable != "" && vm.Name == "" && vm.FromRange && b.survey.claimed[vm.ID] == nil {
			return vm
		}
	}
	return nil
}

func (b *builder) unreadable(vm *inventory.VM, worker string) finding.Finding {
	return vmFinding(b.world, vm, finding.VMUnreadable, finding.Unknown).
		WithReason(fmt.Sprintf("%s on %s may be worker %s, but cannot be read: %s", place.VMName(vm), vm.Home(), worker, vm.Unreadable)).
		WithFix(place.UnreadableFix(b.world, vm))
}

// nameConflicts are the VMs that block a worker's name: VMs that have the name but
// are not the worker, and a VM with the worker's record that fails the proof of
// ownership.
func (b *builder) nameConflicts(d *draft) []finding.Finding {
	var findings []finding.Finding
	for _, vm := range b.survey.names().vms[d.Name] {
		ownership, why := vm.Ownership()
		was := vm.Record != nil && vm.Record.Names(vm.ID) && vm.Record.WorkerKey == d.key()
		switch {
		case vm.Name != d.Name && !(was && ownership == inventory.Unverified):
		case vm.Unreadable != "":
			findings = append(findings, b.unreadable(vm, d.Name))
		case ownership == inventory.Unverified:
			findings = append(findings, UnverifiedVM(b.world, vm, why))
		case was && ownership != inventory.Foreign:
			// the worker itself, which will be replaced
		default:
			findings = append(findings, b.nameTaken(vm, d.Name))
		}
	}
	return findings
}

func (b *builder) nameTaken(vm *inventory.VM, worker string) finding.Finding {
	f := vmFinding(b.world, vm, finding.VMNameTaken, finding.Fail)
	f.Reason = fmt.Sprintf("%s on %s has this name and is not ours", place.VMName(vm), vm.Home())
	f.Fix = "rename that VM, or make it the worker: " + shell.Command("gpuworker adopt %s --as %s", vm.ID, worker)
	if r := vm.Record; r != nil {
		f.Reason = fmt.Sprintf("%s on %s has this name and is a worker of %s", place.VMName(vm), vm.Home(), r.PoolWords())
		f.Fix = "name one of the two pools differently"
	}
	return f
}

// UnverifiedVM is the finding of a VM that looks like ours but fails the proof of
// ownership.
func UnverifiedVM(world *inventory.Snapshot, vm *inventory.VM, why string) finding.Finding {
	f := vmFinding(world, vm, finding.VMIdentity, finding.Fail)
	f.Reason = fmt.Sprintf("%s on %s looks like ours, but %s; it is not touched", place.VMName(vm), vm.Home(), why)
	switch r := vm.Record; {
	case vm.RecordProblem != "":
		f.Fix = inventory.RecordFix("its note")
	case r == nil:
		f.Fix = fmt.Sprintf("remove the tag %s, or make it a worker: gpuworker adopt %s --as NAME", inventory.OwnerTag, vm.ID)
	case !r.Names(vm.ID):
		f.Fix = fmt.Sprintf("remove the line that begins with gpuworker: from its note, or make it a worker: gpuworker adopt %s --as NAME", vm.ID)
	case r.Worker != vm.Name:
		f.Fix = world.Advise(inventory.GiveNameBack, inventory.Subject{Host: vm.Home(), VM: vm.ID, Name: r.Worker})
	default:
		f.Fix = "if it is the worker, confirm it: " + shell.Command("gpuworker adopt %s --as %s", vm.ID, r.Worker)
	}
	return f
}

// onlyClaim decides about a claim without a VM that is no longer declared. Another
// engine may be working on it, so it is held for a person.
func (b *builder) onlyClaim(d *draft) {
	b.fill(d)
	d.Action, d.Hint = plan.Hold, shell.Command("gpuworker delete %s", d.Name)
	d.Reason = "no longer declared; only its claim on the card is left"
}

// replace plans to destroy the VM and to make a new one: a GPU worker gets its own
// card again, a plain worker goes where it fits. The card is released before the
// new VM claims it, but a VM is destroyed only when there is a place for the new one.
func (b *builder) replace(d *draft, why string) {
	m, ref := d.member, d.Ref
	if b.refuseOnWrongHost(d) || b.holdForeignCards(d) {
		return
	}
	b.place(d, m.vm)
	if d.Action != plan.Create {
		return
	}
	d.Action, d.Ref, d.Reason = plan.Replace, ref, why
	if m.unmarked {
		d.Ref.UUID = m.vm.UUID
	}
	d.Steps = append(endSteps(m), d.Steps...)
}
