package planner

import (
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// BuildAccept plans to record another GPU for the named worker.
func BuildAccept(in Input, names []string) (*plan.Plan, error) {
	return named(in, "accept", names, (*builder).accept)
}

// accept decides about a worker whose card a person has exchanged.
func (b *builder) accept(d *draft) {
	if b.refuseIncomplete(d) {
		return
	}
	gpu := b.in.Request.GPU
	switch {
	case d.member.card.IsZero():
		d.refuse(b.notAcceptable(d, "the worker has no card", "name a GPU worker: gpuworker status lists them"))
		return
	case d.Record.Bootstrapped == "":
		d.refuse(b.notAcceptable(d, "its guest was never proven, so no GPU is recorded yet", "gpuworker apply proves it and records its GPU"))
		return
	case d.Record.GPU == gpu:
		d.Action, d.Reason = plan.Keep, gpu+" is recorded already"
		return
	}
	from := d.Record.GPU
	if from == "" {
		from = "none"
	}
	d.Action, d.Reason = plan.Update, "named in the command"
	d.Changes = []plan.Change{{Field: "GPU", From: from, To: gpu, When: plan.Live}}
	record := *d.Record
	record.GPU = gpu
	d.Record = &record
	if d.member.vm.Running { // what is recorded was proven
		d.Steps = []plan.StepKind{plan.StepOrders, plan.StepBootstrap}
	}
	d.Steps = append(d.Steps, plan.StepRecord)
}

func (b *builder) notAcceptable(d *draft, why, fix string) finding.Finding {
	return finding.New(finding.DriverGPUUUID, finding.Fail, fault.Place{Hypervisor: b.world.Hypervisor, Worker: d.Name}).WithReason(why).WithFix(fix)
}
