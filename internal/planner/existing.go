package planner

import (
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// existing decides what happens to a worker that has a VM.
func (b *builder) existing(d *draft) {
	b.fill(d)
	switch { // cases without a body decide the worker themselves and report whether they did
	case d.Undeclared:
		b.retire(d)
	case b.replaceRequested(d) && b.decideReplace(d):
	case b.refuseOnWrongHost(d), b.holdForeignCards(d):
	case d.member.vm.Running:
		b.running(d)
	default:
		b.stopped(d)
	}
	if d.Action == plan.Keep || d.Action == plan.Hold || d.Action == plan.Update {
		b.warn(d)
	}
	b.finishGuest(d)
	b.finishReplace(d)
	b.waitForLock(d)
}

// fill copies what is known of an existing worker into its draft.
func (b *builder) fill(d *draft) {
	m, w := d.member, d.Worker
	w.Host, w.Card, w.VM = m.host, m.card, m.record().VM
	if m.vm != nil {
		w.Host, w.VM = m.vm.Home(), m.vm.ID
		w.Ref = &inventory.VMRef{Host: m.vm.Host, ID: m.vm.ID, Name: m.vm.Name, UUID: m.vm.UUID}
		if m.unmarked { // a clone gets the UUID of its record when it is marked
			w.Ref.UUID = m.vm.Record.UUID
		}
		w.Networks = m.vm.Machine.NICs
	}
	w.Model, w.GPUID = b.model(m), b.gpuID(m.card)
	record := *m.record()
	record.Host, record.Card = w.Host, m.card
	w.Record = &record
}

func (b *builder) model(m *member) string {
	host := b.world.Host(m.host)
	if m.card.IsZero() || host == nil || host.Device(m.card.Slot) == nil {
		return ""
	}
	gpu, ok := host.Device(m.card.Slot).GPU()
	if !ok {
		return ""
	}
	return gpu.ShortName()
}

func (d *draft) refuse(findings ...finding.Finding) {
	d.Action, d.Steps, d.Refusals = plan.Refuse, nil, findings
	d.Changes, d.Hint = nil, ""
}

// sides are the worker as declared, as configured and as the VM runs now.
func (b *builder) sides(d *draft) (declared, configured, now view) {
	m := d.member
	machine, enoughAddresses := declaredMachine(b.world.Capabilities, d.pool, d.number, m.card)
	if !enoughAddresses {
		for i := range machine.NICs {
			current := m.vm.Machine.NIC(i)
			machine.NICs[i].Address, machine.NICs[i].Gateway, machine.NICs[i].MAC = current.Address, current.Gateway, current.MAC
		}
		d.Notes = append(d.Notes, b.noAddress(d))
	}
	record := declaredRecord(d.pool, d.Name, d.GPUID)
	record.Template = b.declaredTemplate(d)
	keepGuest(&record, d)
	past := pastFirstBoot(m.vm)
	declared = view{machine, record, past}
	configured, now = view{m.vm.Machine, *m.vm.Record, past}, view{m.vm.Applied, *m.vm.Record, past}
	return declared, configured, now
}

// declaredTemplate is the name of the template that the worker should be cloned
// from; "" when it is not known, or when the VM is not a clone.
func (b *builder) declaredTemplate(d *draft) string {
	t, vm := d.pool.Spec.Template, d.member.vm
	if vm.Record.Template == "" {
		return ""
	}
	if t.Name != "" {
		return t.Name
	}
	host := b.world.Host(vm.Home())
	if host == nil {
		return ""
	}
	template, _ := b.capacity.Template(t, host)
	if template == nil {
		return ""
	}
	return template.Name
}

// differences compares the worker with its declaration.
func (b *builder) differences(d *draft) (declared, configured view, all []difference) {
	declared, configured, now := b.sides(d)
	compared := declared
	if d.pool.Spec.Template.Clone != v1alpha1.CloneFull {
		compared.machine.Storage = "" // the disk of a linked clone is on the storage of its template
	}
	if d.member.vm.Running {
		return declared, configured, compare(&compared, &configured, &now)
	}
	return declared, configured, compare(&compared, &configured, nil)
}

// running decides about a running VM.
func (b *builder) running(d *draft) {
	declared, configured, differences := b.differences(d)
	d.Changes = changesOf(differences)
	needsStop := hasKind(differences, plan.NeedsStop)
	remake := hasKind(differences, plan.NeedsRemake)
	if remake && !d.semiPersistent() && !b.replaceRequested(d) {
		b.replace(d, "differs in what cannot be changed in place")
		return
	}
	switch {
	case needsStop && (b.in.Request.AllowRestart || !d.semiPersistent()):
		b.restart(d, &declared, &configured, differences)
	case hasKind(differences, plan.Live, plan.NextBoot):
		d.Action, d.Reason = plan.Update, "running"
		d.setDesired(carry(&declared, &configured, differences, plan.Live, plan.NextBoot))
		d.Steps = []plan.StepKind{plan.StepConfigure}
	case len(differences) > 0:
		d.Action, d.Reason = plan.Hold, "running, and differs"
	default:
		d.Action, d.Reason = plan.Keep, "running, as declared"
	}
	b.renewClaim(d)
	d.advise(differences)
}

// setDesired sets the record and the configuration that the VM has after all steps. A record that an older program wrote is
// rewritten in the present version.
func (d *draft) setDesired(v view) {
	record := *d.Record
	record.Version = inventory.RecordVersion
	record.Labels, record.Taints, record.Lifecycle, record.Template = v.record.Labels, v.record.Taints, v.record.Lifecycle, v.record.Template
	record.Driver = v.record.Driver
	d.Record, d.Desired = &record, &v.machine
}

// advise says what a person can do about the differences that remain.
func (d *draft) advise(differences []difference) {
	switch {
	case !slices.Contains([]plan.Action{plan.Hold, plan.Update, plan.Restart, plan.Finish, plan.Start}, d.Action):
		return // the other actions leave no difference
	case hasKind(differences, plan.NeedsRemake):
		d.Hint = shell.Command("gpuworker replace %s", d.Name)
	case d.member.vm.Running && hasKind(differences, plan.NeedsStop) && (d.Action == plan.Hold || d.Action == plan.Update || d.Action == plan.Finish):
		d.Hint = "gpuworker apply --allow-restart"
	}
}

// claimHolds reports whether the card is claimed for the worker's VM.
func (m *member) claimHolds() bool {
	return m.claim != nil && m.claim.Stale == "" && isFor(m.claim, m.vm)
}

// claimOutdated reports whether the claim holds but was written by an older program:
// it is rewritten together with the worker's next change.
func (m *member) claimOutdated() bool {
	return m.claimHolds() && m.claim.Record.Version < inventory.RecordVersion
}

// renewClaim plans to claim the card for the worker's VM, if it is not. An outdated claim
// still holds: it is rewritten only together with another change, and what prevents this
// is not reported. A held or refused worker gets no claim step.
func (b *builder) renewClaim(d *draft) {
	m := d.member
	outdated := m.claimOutdated() && (d.Action == plan.Update || d.Action == plan.Restart)
	if m.card.IsZero() || m.claimHolds() && !outdated {
		return
	}
	if findings := b.claimable(d); len(findings) > 0 {
		if !outdated {
			d.Notes = append(d.Notes, findings...)
		}
		return
	}
	switch d.Action {
	case plan.Keep:
		d.Action, d.Reason = plan.Finish, d.Reason+"; its claim on the card will be renewed"
	case plan.Update, plan.Restart:
	default:
		return
	}
	d.Steps = append([]plan.StepKind{plan.StepClaim}, d.Steps...)
}

// claimable are the reasons why the card cannot be claimed for the worker now.
func (b *builder) claimable(d *draft) []finding.Finding {
	host := b.world.Host(d.member.host)
	if host == nil {
		return []finding.Finding{place.CheckHost(b.world, d.member.host)}
	}
	there := place.CheckCardThere(b.world, host, d.member.card.Slot)
	if there.Blocks() {
		return []finding.Finding{there}
	}
	blocking, _ := b.capacity.JudgeCard(host, *host.Device(d.member.card.Slot), d.member.claimant())
	return blocking
}

// restart plans a stop, the change and a start, if the VM can be started again.
func (b *builder) restart(d *draft, declared, configured *view, differences []difference) {
	target := carry(declared, configured, differences, plan.Live, plan.NextBoot, plan.NeedsStop)
	notes, refusals := b.capacity.CheckStart(b.requirementsOf(d, &target.machine), d.Host)
	if len(refusals) > 0 {
		d.refuse(refusals...)
		return
	}
	d.Action, d.Reason, d.Notes = plan.Restart, "running, must be stopped for the change", append(d.Notes, notes...)
	d.setDesired(target)
	d.Steps = []plan.StepKind{plan.StepShutdown, plan.StepConfigure}
	if !d.member.card.IsZero() && has(differences, func(f difference) bool { return isCardField(f.Field) }) {
		d.Steps = append(d.Steps, plan.StepAttach)
	}
	d.Steps = append(d.Steps, startSteps(d)...)
}

// requirementsOf are the requirements for starting an existing VM where it is.
func (b *builder) requirementsOf(d *draft, machine *inventory.Machine) place.Requirements {
	needs := b.needs(d)
	needs.MemoryMiB, needs.Cores = machine.MemoryMiB, machine.Cores
	needs.NICs = machine.NICs[:min(len(needs.NICs), len(machine.NICs))] // the VM may have fewer than declared
	return needs
}

// stopped decides about a VM that does not run: incomplete, parked, or stopped by
// somebody else.
func (b *builder) stopped(d *draft) {
	declared, configured, differences := b.differences(d)
	incomplete := b.isIncomplete(d)
	d.Changes = changesOf(differences)
	if hasKind(differences, plan.NeedsRemake) && !incomplete {
		if !d.semiPersistent() && !b.replaceRequested(d) {
			b.replace(d, "differs in what cannot be changed in place")
			return
		}
	}
	target := carry(&declared, &configured, differences, plan.Live, plan.NextBoot, plan.NeedsStop)
	if incomplete {
		target.machine.Firmware, target.machine.Storage = declared.machine.Firmware, declared.machine.Storage
		d.Changes = nil
	}
	d.setDesired(target)
	d.Steps = b.remaining(d, differences, incomplete)
	d.setAction(incomplete, differences)
	if refusals := b.obstacles(d, &target.machine); len(refusals) > 0 {
		d.refuse(refusals...)
		return
	}
	if !incomplete {
		d.advise(differences)
	}
}

// obstacles are the findings that block the steps of a stopped VM.
func (b *builder) obstacles(d *draft, machine *inventory.Machine) []finding.Finding {
	switch {
	case slices.Contains(d.Steps, plan.StepStart):
		notes, refusals := b.capacity.CheckStart(b.requirementsOf(d, machine), d.Host)
		d.Notes = append(d.Notes, notes...)
		return refusals
	case slices.Contains(d.Steps, plan.StepAttach), slices.Contains(d.Steps, plan.StepClaim):
		return b.claimable(d)
	}
	return nil
}

// isIncomplete reports whether an earlier run did not finish making the VM: its marks are
// missing (they are written after the configuration), or its card is missing (it is
// attached last). Firmware and storage of such a VM may still be changed in place.
func (b *builder) isIncomplete(d *draft) bool {
	m := d.member
	unattached := !m.card.IsZero() && m.vm.Machine.Card == nil
	return m.unmarked || !m.vm.Parked() && unattached
}

// remaining are the steps that a stopped VM still needs.
func (b *builder) remaining(d *draft, differences []difference, incomplete bool) []plan.StepKind {
	var steps []plan.StepKind
	m := d.member
	plain := func(f difference) bool { return f.When != plan.NeedsRemake && !isCardField(f.Field) }
	carded := func(f difference) bool { return isCardField(f.Field) }
	attach := !m.card.IsZero() && has(differences, carded)
	configure := incomplete || has(differences, plain)
	outdated := m.claimOutdated() && configure && !m.vm.Parked()
	if !m.card.IsZero() && (!m.claimHolds() || outdated) {
		steps = append(steps, plan.StepClaim)
	}
	if configure {
		steps = append(steps, plan.StepConfigure)
	}
	if attach {
		steps = append(steps, plan.StepAttach)
	}
	if !m.vm.Parked() {
		steps = append(steps, startSteps(d)...)
	}
	return steps
}

// setAction sets action and reason for a stopped VM.
func (d *draft) setAction(incomplete bool, differences []difference) {
	parked := d.member.vm.Parked()
	switch {
	case incomplete:
		d.Action, d.Reason = plan.Finish, "left incomplete by an earlier run"
	case parked && len(d.Steps) > 0:
		d.Action, d.Reason = plan.Update, "parked"
	case parked && len(differences) > 0:
		d.Action, d.Reason = plan.Hold, "parked, and differs"
	case parked:
		d.Action, d.Reason = plan.Keep, "parked"
	case d.Steps[0] != startSteps(d)[0]:
		d.Action, d.Reason = plan.Finish, "stopped, and differs"
	default:
		d.Action, d.Reason = plan.Start, "stopped"
	}
}

// warn notes what would block the next start of a worker whose VM this plan does not
// start.
func (b *builder) warn(d *draft) {
	m := d.member
	host := b.world.Host(m.host)
	if m.card.IsZero() || host == nil || host.Device(m.card.Slot) == nil {
		return
	}
	device := *host.Device(m.card.Slot)
	blocking, _ := place.Split(place.CheckCardFree(b.world, host, device, m.claimant()))
	if d.pool != nil {
		mismatches, _ := place.Split(place.CheckDriver(b.world, host, device, d.pool.DriverRequest()))
		blocking = append(blocking, mismatches...)
	}
	for _, f := range blocking {
		if f.Verdict == finding.Fail { // an unknown result would be noted in every plan
			d.Notes = append(d.Notes, f)
		}
	}
}

// waitForLock postpones the steps while somebody else has the VM locked.
func (b *builder) waitForLock(d *draft) {
	vm := d.member.vm
	if len(d.Steps) == 0 || vm.State == inventory.Free {
		return
	}
	if vm.State == inventory.CloneDead {
		d.refuse(StuckClone(b.world, vm))
		return
	}
	f := vmFinding(b.world, vm, finding.VMLocked, finding.Info)
	f.Reason = fmt.Sprintf("VM %s is locked: %s", vm.ID, lockWord(vm))
	f.Fix = "run the same command again when the lock is gone"
	d.Action, d.Steps, d.Reason, d.Hint = plan.Wait, nil, f.Reason, f.Fix
	if vm.State == inventory.Cloning {
		d.await(vm)
	}
	d.Notes = append(d.Notes, f)
}

// lockWord says why a VM is locked: "backup", "clone".
func lockWord(vm *inventory.VM) string {
	if vm.State == inventory.Locked {
		return vm.Locked
	}
	return "clone"
}
