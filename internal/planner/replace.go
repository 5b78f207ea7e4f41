package planner

import (
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// BuildReplace plans to destroy the named workers and make them again: a GPU worker
// on its own card, a plain worker on its host when it fits there. A declared worker
// whose VM is gone is made. Only the named workers are in the plan.
func BuildReplace(in Input) (*plan.Plan, error) {
	in.Request.AllOrNothing = false
	if err := in.checkUUIDs(); err != nil {
		return nil, err
	}
	b := newBuilder(in)
	p := b.build()
	known := map[string]bool{}
	for i := range p.Pools {
		p.Pools[i].Workers = slices.DeleteFunc(p.Pools[i].Workers, func(w plan.Worker) bool {
			other := b.documents.onOtherHypervisor(w.Name)
			if !other {
				known[w.Name] = true
			}
			_, named := b.named[w.Name]
			return other || !named
		})
	}
	p.Pools = slices.DeleteFunc(p.Pools, func(pool plan.Pool) bool { return len(pool.Workers) == 0 })
	spelling := spellingOf(known)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(in.Request.Workers))) {
		if !known[name] {
			p.Absent = append(p.Absent, b.noWorker(name, spelling))
		}
	}
	return p, nil
}

// checkUUIDs returns an error when a UUID of the request is that of another worker.
func (in Input) checkUUIDs() error {
	workers := map[string]string{} // by UUID
	for i, uuid := range in.Request.UUIDs {
		workers[uuid] = in.Request.Workers[i]
	}
	for i := range in.Snapshot.VMs {
		vm := &in.Snapshot.VMs[i]
		worker, named := workers[vm.UUID]
		if !named || vm.Record == nil || vm.Record.Worker == worker {
			continue
		}
		return &fault.Error{
			Kind: fault.Invalid, Doing: "replace", Where: fault.Place{Worker: worker},
			Why: fmt.Sprintf("VM %s is worker %s; give one --vm for each name, in the same order", vm.UUID, vm.Record.Worker),
			Fix: "gpuworker status -o json shows the UUID of each worker's VM",
		}
	}
	return nil
}

// decideReplace decides about a VM that a person wants replaced. It returns false when
// nothing has to be destroyed and the worker is decided like any other.
func (b *builder) decideReplace(d *draft) bool {
	record, uuid, vm := d.member.record(), b.requestedVM(d), d.member.vm
	switch {
	case uuid == "" && record.Replacing != "":
		return false
	case uuid != "" && uuid != d.Ref.UUID && record.Replacing != "":
		return false
	case uuid != "" && uuid != d.Ref.UUID:
		d.Action = plan.Keep
		d.Reason = fmt.Sprintf("VM %s is gone; the worker is VM %s now, %s", uuid, d.Ref.UUID, b.history(record))
	case uuid == "" && b.in.Request.KeepRecent && b.recent(record):
		d.Action = plan.Keep
		d.Reason = fmt.Sprintf("a recent replace made VM %s (%s), %s: it is kept unless you name this VM", vm.ID, d.Ref.UUID, b.history(record))
		d.Hint = shell.Command("gpuworker replace %s --vm %s --yes", d.Name, d.Ref.UUID)
	default:
		b.replace(d, fmt.Sprintf("named in the command: VM %s, %s", d.Ref.UUID, b.history(record)))
	}
	return true
}

// recent reports whether a replace made the VM less than RecentReplace seconds ago.
// A time that is unreadable or in the future counts as recent: clocks differ.
func (b *builder) recent(record *inventory.Record) bool {
	if record.Replaced == "" {
		return false
	}
	age, known := record.SinceReplace(b.in.Request.Now)
	return !known || age < plan.RecentReplace
}

// history says when the VM was made, and which VM it replaced.
func (b *builder) history(record *inventory.Record) string {
	text := "its age is not recorded"
	if age, known := record.Age(b.in.Request.Now); known {
		text = fmt.Sprintf("made %s (%s ago)", record.Created, ageText(age))
	}
	if record.Replaced != "" {
		text += " in place of VM " + record.Replaced
	}
	return text
}

// ageText writes an age in seconds in its largest unit, "12 minutes".
func ageText(seconds int) string {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	switch {
	case seconds >= 2*day:
		return term.Count(seconds/day, "day")
	case seconds >= 2*hour:
		return term.Count(seconds/hour, "hour")
	case seconds >= 2*minute:
		return term.Count(seconds/minute, "minute")
	}
	return term.Count(max(seconds, 0), "second")
}

// replacing is the UUID of the VM that a new one replaces because a person asked for
// it; "" when it is made for another reason. It is recorded in the VM, or else in the
// claim on its card.
func (b *builder) replacing(d *draft) string {
	if m := d.member; m != nil && m.vm == nil && m.claim.Record.Replacing != "" {
		return m.claim.Record.Replacing
	}
	switch {
	case !b.replaceRequested(d):
		return ""
	case d.member != nil && d.member.record().UUID != "":
		return d.member.record().UUID
	case b.requestedVM(d) != "":
		return b.requestedVM(d)
	}
	return inventory.UnknownVM
}

// finishReplace adds the last step of an unfinished replace to the steps of the new
// VM.
func (b *builder) finishReplace(d *draft) {
	record := d.member.record()
	if record.Replacing == "" || d.Undeclared || d.Action == plan.Refuse || d.Action == plan.Replace || d.Action == plan.Destroy {
		return
	}
	if d.Action == plan.Keep || d.Action == plan.Hold {
		if d.member.vm.Running {
			d.Steps = append(d.Steps, plan.StepAgent)
		}
		d.Action = plan.Finish
	}
	d.Steps = append(d.Steps, plan.StepReplaced)
	d.Reason += fmt.Sprintf("; the replace of VM %s is unfinished: this finishes it, nothing is destroyed", record.Replacing)
}
