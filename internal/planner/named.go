package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// BuildDelete plans to delete the named workers, declared or not: the VM and the
// claim on its card. Workers that do not exist are in Absent: they are already
// deleted.
func BuildDelete(in Input, names []string) (*plan.Plan, error) {
	return named(in, "delete", names, (*builder).end)
}

// BuildPark plans to stop the named workers and keep their cards.
func BuildPark(in Input, names []string) (*plan.Plan, error) {
	return named(in, "park", names, (*builder).park)
}

// BuildUnpark plans to start the named parked workers again.
func BuildUnpark(in Input, names []string) (*plan.Plan, error) {
	return named(in, "unpark", names, (*builder).unpark)
}

// BuildDisown plans to disown the named workers: their VMs stay as they are, without
// our record and marks, and without a claim on their cards.
func BuildDisown(in Input, names []string) (*plan.Plan, error) {
	return named(in, "disown", names, (*builder).disown)
}

// named makes a plan for workers that a person names, with one decision for each.
func named(in Input, verb string, names []string, decide func(*builder, *draft)) (*plan.Plan, error) {
	b := newBuilder(in)
	known := b.knownNames()
	maps.DeleteFunc(known, func(name string, _ bool) bool { return b.documents.onOtherHypervisor(name) })
	spelling := spellingOf(known)
	ends := verb == "delete" || verb == "disown" // done when the worker does not exist
	var absent []plan.Absent
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if !known[name] && (!ends || b.hidden == nil || b.documents.onOtherHypervisor(name)) {
			absent = append(absent, b.noWorker(name, spelling))
			continue
		}
		drafts := b.draftsOf(name)
		if several(drafts) {
			return nil, severalWorkers(in, verb, name, drafts)
		}
		for _, d := range drafts {
			if d.member != nil {
				b.fill(d)
			}
			decide(b, d)
			if d.Action == plan.Keep && ends {
				absent = append(absent, b.nothingOf(name, d.Reason))
				continue
			}
			if d.member != nil && d.member.vm != nil {
				b.waitForLock(d)
			}
			b.add(d)
			if verb == "delete" && d.member != nil && !d.releasing() {
				b.endRest(d)
			}
		}
	}
	p := b.plan()
	p.Absent = absent
	return p, nil
}

// knownNames are the names of all workers that exist, are declared, or may exist: a
// VM that looks like ours or cannot be read counts.
func (b *builder) knownNames() map[string]bool {
	known := map[string]bool{}
	for _, m := range b.survey.order {
		if !b.documents.reportedByAlias(m.record()) {
			known[m.Worker] = true
		}
	}
	for _, claim := range b.world.Claims {
		if claim.Record.Worker != "" && !b.documents.reportedByAlias(&claim.Record) {
			known[claim.Record.Worker] = true
		}
	}
	for i := range b.world.VMs {
		vm := &b.world.VMs[i]
		if ownership, _ := vm.Ownership(); vm.Name != "" && (ownership == inventory.Unverified || vm.Unreadable != "") {
			known[vm.Name] = true
		}
	}
	for _, pool := range b.documents.pools {
		for n := 1; n <= pool.Size(); n++ {
			known[pool.WorkerName(n)] = true
		}
	}
	return known
}

// several reports whether the drafts are of different workers with one name.
func several(drafts []*draft) bool {
	return slices.ContainsFunc(drafts, func(d *draft) bool {
		return d.member != nil && d.member.WorkerKey != drafts[0].member.WorkerKey && !d.releasing()
	})
}

// releasing reports whether the worker has only a claim that is being released.
func (d *draft) releasing() bool {
	return d.member != nil && d.member.vm == nil && d.member.claim.Releasing
}

// draftsOf finds all that exists of a worker; a draft without a member when the
// worker is only declared. A name of a declared pool always means the worker of that
// pool and KubeCluster, even when it is gone: a command that is run again must not
// affect another worker of the same name.
func (b *builder) draftsOf(name string) []*draft {
	var drafts []*draft
	for _, m := range b.survey.names().members[name] {
		if !b.documents.reportedByAlias(m.record()) {
			pool := b.documents.pool(m.record())
			drafts = append(drafts, &draft{Worker: &plan.Worker{Name: name}, pool: pool, number: m.number, member: m})
		}
	}
	if len(drafts) == 0 { // an earlier run began to release these, so all may be released
		for _, claim := range b.survey.names().releasing[name] {
			drafts = append(drafts, &draft{Worker: &plan.Worker{Name: name}, pool: b.documents.pool(&claim.Record), member: claimOnly(claim)})
		}
	}
	if pool, n := b.documents.poolOf(name); pool != nil {
		drafts = slices.DeleteFunc(drafts, func(d *draft) bool { return d.pool == nil })
		if len(drafts) == 0 {
			drafts = append(drafts, &draft{Worker: &plan.Worker{Name: name}, pool: pool, number: n})
		}
	}
	if len(drafts) == 0 { // an unverified VM or an unusable claim of this name
		drafts = append(drafts, &draft{Worker: &plan.Worker{Name: name}})
	}
	return drafts
}

// add puts a decided draft into its pool of the plan.
func (b *builder) add(d *draft) {
	name, kubeCluster, lifecycle := "", "", ""
	if d.member != nil {
		name, kubeCluster, lifecycle = d.member.Pool, d.member.KubeCluster, d.member.record().Lifecycle
	}
	if d.pool != nil {
		name, kubeCluster, lifecycle = d.pool.Name, d.pool.Spec.KubeCluster, string(d.pool.Spec.Lifecycle)
	}
	p := b.poolAt[poolKey{name, kubeCluster}]
	if p == nil {
		p = &poolDraft{name: name, kubeCluster: kubeCluster, lifecycle: lifecycle}
		if d.pool != nil {
			p.desired = d.pool.Size()
		}
		b.addPool(p)
	}
	p.drafts = append(p.drafts, d)
}

// end decides about a worker that a person wants to delete.
func (b *builder) end(d *draft) {
	switch {
	case d.member == nil:
		b.endAbsent(d)
	case d.member.vm != nil:
		b.destroy(d, "named in the command")
		if !d.member.card.IsZero() {
			d.Steps = append(d.Steps, plan.StepRelease)
			d.Host = d.member.host
		}
	default:
		b.release(d)
	}
}

// endAbsent decides about a worker that is to be deleted but, as far as can be seen,
// does not exist.
func (b *builder) endAbsent(d *draft) {
	if conflicts := b.doubts(d); len(conflicts) > 0 {
		d.refuse(conflicts...)
		return
	}
	d.Action, d.Reason = plan.Keep, "it has no VM and no claim"
}

// endRest plans to delete everything else of the worker: further VMs and claims.
func (b *builder) endRest(d *draft) {
	for _, vm := range d.member.extraVMs {
		duplicate := &member{WorkerKey: d.member.WorkerKey, vm: vm, unmarked: !marked(vm), host: vm.Home()}
		rest := &draft{Worker: &plan.Worker{Name: d.Name}, pool: d.pool, member: duplicate}
		b.fill(rest)
		b.destroy(rest, "a second VM of this worker")
		b.waitForLock(rest)
		b.add(rest)
	}
	for _, claim := range slices.Concat(d.member.extraClaims, b.releasing(d.member)) {
		rest := &draft{Worker: &plan.Worker{Name: d.Name}, pool: d.pool, member: claimOnly(claim)}
		b.fill(rest)
		b.release(rest)
		b.add(rest)
	}
}

// releasing are the claims of a worker that an earlier run began to release.
func (b *builder) releasing(m *member) []*inventory.Claim {
	var claims []*inventory.Claim
	for _, claim := range b.survey.names().releasing[m.Worker] {
		if claim != m.claim && claim.Record.WorkerKey == m.WorkerKey {
			claims = append(claims, claim)
		}
	}
	return claims
}

func claimOnly(claim *inventory.Claim) *member {
	return &member{WorkerKey: claim.Record.WorkerKey, claim: claim, host: claim.Card.Host, card: claim.Card}
}

// doubts are findings about VMs that may be the worker but are unverified or
// unreadable, and about claims for it with an unusable record.
func (b *builder) doubts(d *draft) []finding.Finding {
	if d.member == nil && b.hidden != nil {
		return []finding.Finding{b.unreadable(b.hidden, d.Name)}
	}
	doubts := slices.DeleteFunc(b.nameConflicts(d), func(f finding.Finding) bool { return f.ID == finding.VMNameTaken })
	for _, claim := range b.survey.names().unusable[d.Name] {
		doubts = append(doubts, place.UnusableClaim(b.world, claim))
	}
	return doubts
}

// release releases a claim without a VM, unless the VM is still being cloned.
func (b *builder) release(d *draft) {
	record := d.member.claim.Record
	vm := b.world.VM(record.VM)
	d.Host, d.Card = d.member.claim.Card.Host, d.member.claim.Card
	switch {
	case vm != nil && vm.State == inventory.CloneDead:
		d.refuse(StuckClone(b.world, vm))
	case isClone(vm):
		d.Action, d.Hint = plan.Wait, "run the same command again when the clone is done"
		d.Reason = fmt.Sprintf("VM %s is being cloned for it", vm.ID)
		d.await(vm)
	case vm != nil && vm.Unreadable != "":
		d.refuse(b.unreadable(vm, d.Name))
	case b.isUnverified(d, vm):
		_, why := vm.Ownership()
		d.refuse(UnverifiedVM(b.world, vm, why))
	default:
		d.Action, d.Reason = plan.Release, "its VM is gone, but its claim on the card remains"
		d.Steps = []plan.StepKind{plan.StepRelease}
	}
}

// isUnverified reports whether the VM with the claim's number looks like the worker
// but fails the proof of ownership: the card may be attached to it.
func (b *builder) isUnverified(d *draft, vm *inventory.VM) bool {
	if vm == nil {
		return false
	}
	ownership, _ := vm.Ownership()
	return ownership == inventory.Unverified && (vm.Name == d.Name || vm.Record != nil && vm.Record.Worker == d.Name)
}

// park decides about a worker that is to stop and keep its card.
func (b *builder) park(d *draft) {
	switch {
	case b.refuseIncomplete(d):
	case d.member.vm.Parked() && !d.member.vm.Running:
		d.Action, d.Reason = plan.Keep, "already parked"
	default:
		d.Action, d.Reason, d.Steps = plan.Park, "named in the command", []plan.StepKind{plan.StepPark, plan.StepShutdown}
	}
}

// disown decides about a worker that a person wants to disown.
func (b *builder) disown(d *draft) {
	switch {
	case d.member == nil:
		b.endAbsent(d)
		return
	case b.refuseIncomplete(d):
		return
	}
	d.Action, d.Reason, d.Steps = plan.Disown, "named in the command", []plan.StepKind{plan.StepDisown}
	if d.pool != nil {
		d.Hint = "it is still declared: remove it from the documents, otherwise the next apply refuses it because its name is in use"
	}
}

// unpark decides about a parked worker that is to run again.
func (b *builder) unpark(d *draft) {
	switch {
	case b.refuseIncomplete(d):
		return
	case !d.member.vm.Parked() && d.member.vm.Running:
		d.Action, d.Reason = plan.Keep, "running, not parked"
		return
	case d.member.vm.Running:
		d.Action, d.Reason, d.Steps = plan.Unpark, "running, and tagged as parked", []plan.StepKind{plan.StepUnpark}
		return
	case b.refuseOnWrongHost(d):
		return
	}
	d.Action, d.Reason = plan.Unpark, "named in the command"
	d.Steps = append([]plan.StepKind{plan.StepUnpark}, startSteps(d)...)
	if refusals := b.obstaclesHere(d); len(refusals) > 0 {
		d.refuse(refusals...)
	}
}

// obstaclesHere are the findings that block a start of the worker as configured,
// declared or not.
func (b *builder) obstaclesHere(d *draft) []finding.Finding {
	m, vm := d.member, d.member.vm
	w := place.Requirements{Holder: m.claimant(), MemoryMiB: vm.Machine.MemoryMiB, Cores: vm.Machine.Cores, NICs: vm.Machine.NICs}
	if !m.card.IsZero() {
		w.Card = &place.CardRequirements{Ref: m.card}
	}
	notes, refusals := b.capacity.CheckStart(w, vm.Home())
	d.Notes = append(d.Notes, notes...)
	return refusals
}

// refuseIncomplete refuses a worker whose VM is missing or incomplete.
func (b *builder) refuseIncomplete(d *draft) bool {
	if d.member != nil && d.member.vm != nil && !d.member.unmarked {
		return false
	}
	fix := "gpuworker apply makes or finishes it"
	if d.pool == nil {
		fix = "no document declares it, so apply does not finish it; " + shell.Command("gpuworker delete %s", d.Name) + " deletes it"
	}
	if d.member == nil || d.member.vm == nil {
		conflicts := b.doubts(d)
		if len(conflicts) == 0 {
			conflicts = b.nameConflicts(d)
		}
		if len(conflicts) > 0 {
			d.refuse(conflicts...)
			return true
		}
	}
	d.refuse(finding.New(finding.VMIdentity, finding.Fail, fault.Place{Hypervisor: b.world.Hypervisor, Worker: d.Name}).
		WithReason("its VM is missing or incomplete").
		WithFix(fix))
	return true
}

// noWorker says what is known about a name that no worker has.
func (b *builder) noWorker(name string, spelling *spelling) plan.Absent {
	absent := b.nothingOf(name, "no worker of this name is declared or on the hypervisor")
	if !absent.Namesake {
		absent.Near = spelling.closest(name)
	}
	return absent
}

// nothingOf says that a worker does not exist, or which foreign VM has its name.
func (b *builder) nothingOf(name, why string) plan.Absent {
	for _, vm := range b.survey.names().vms[name] {
		if vm.Name == name {
			why = fmt.Sprintf("%s on %s has this name, but is not a worker that these documents declare", place.VMName(vm), vm.Home())
			return plan.Absent{Name: name, Why: why, Namesake: true}
		}
	}
	return plan.Absent{Name: name, Why: why}
}

func severalWorkers(in Input, verb, name string, drafts []*draft) error {
	var where []string
	for _, d := range drafts {
		where = append(where, d.member.PoolWords())
	}
	return &fault.Error{
		Kind: fault.Invalid, Doing: verb, Where: fault.Place{Hypervisor: in.Snapshot.Hypervisor, Worker: name},
		Why: "there are several workers of this name: " + strings.Join(where, "; "), Fix: "use documents that declare the pool of the worker that you mean",
	}
}
