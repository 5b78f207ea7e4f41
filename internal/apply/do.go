package apply

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// settle waits for a clone of an earlier run, or of another engine, that may be
// this worker. What is to be done then is for a new plan to say.
func settle(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	vm, err := to.ObserveVM(ctx, *j.Worker.Awaits)
	if err != nil || vm == nil || vm.State != inventory.Cloning {
		return nil, err
	}
	return &hypervisor.Wait{
		For: fmt.Sprintf("the clone of an earlier run or another engine, VM %s", vm.ID), Again: settleEvery, UnderWay: true,
	}, nil
}

// settleEvery is how often a clone that somebody else has under way is looked at.
const settleEvery = 5 * time.Second

// clone clones, and takes another identifier when the planned one was taken
// meanwhile. The claim is brought up to date before each try: after a crash it
// is what tells whose the nameless clone is.
func clone(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	source := j.Worker.Source
	order := hypervisor.CloneOrder{
		Record: j.Record, Template: inventory.VMRef{Host: source.Host, ID: source.VM, Name: source.Template},
		Full: source.Full, Storage: source.Storage, TargetStorage: source.TargetStorage, TargetHost: source.TargetHost,
	}
	id, wait, err := to.Clone(ctx, order, j.Handle)
	switch {
	case err == nil && wait == nil:
		j.Ref = refOf(j.Record)
		j.Ref.ID = id
		return nil, nil
	case !fault.Is(err, fault.Exists):
		return wait, err
	case j.Record.VM == "", j.renumbered == maxRenumbered:
		return nil, err
	case j.renumbered == 0 && j.Worker.Action == plan.Create && j.Claimed.VM == j.Record.VM:
		return nil, j.mayBeOurs(err)
	}
	return j.renumber(ctx, to)
}

// maxRenumbered bounds how often a worker takes another identifier.
const maxRenumbered = 20

// mayBeOurs is the error for an identifier that an earlier run had claimed for
// this worker, that was free when we looked, and is taken now: most likely by the
// clone that the earlier run asked for just before it died. Another one would
// give the worker a second VM; the next look shows whose it is.
func (j *Job) mayBeOurs(err error) error {
	return &fault.Error{
		Kind: fault.Conflict, Doing: "clone the template",
		Where: fault.Place{Host: j.Record.Host, VM: j.Record.VM, Worker: j.Worker.Name},
		Why:   "an earlier run claimed this number for this worker, and a moment ago it was free", Cause: err,
		Fix: "run the same command again: it waits for a clone of the earlier run, and takes another number when the VM is somebody else's",
	}
}

// renumber takes another identifier, and goes back to the claim, which names it.
func (j *Job) renumber(ctx context.Context, to hypervisor.Backend) (*hypervisor.Wait, error) {
	id, err := j.ids.next(ctx, to)
	if err != nil {
		return nil, err
	}
	was := j.Record.VM
	j.Record.VM, j.Ref.ID = id, id
	j.renumbered++
	j.goBack(plan.StepClaim)
	return &hypervisor.Wait{For: fmt.Sprintf("number %s, because %s is taken", id, was)}, nil
}

// claim reserves the card, in place of the claim that the plan was made with or
// that this job wrote before.
func claim(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	wait, err := to.Claim(ctx, j.Ref, j.Record, j.held, j.Handle)
	if err == nil && wait == nil {
		j.held = j.Record
	}
	return wait, err
}

// release gives back the claim that the plan was made with.
func release(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	held := j.held
	if held.Worker == "" {
		held = j.Record
	}
	return to.Release(ctx, held, j.Worker.Card, j.Handle)
}

func configure(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Configure(ctx, j.Ref, j.Record, *j.Worker.Desired, j.Handle)
}

func attach(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Attach(ctx, j.Ref, j.Record, *j.Worker.Desired.Card, j.Handle)
}

func start(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	wait, err := to.Start(ctx, j.Ref, j.Handle)
	if err == nil && wait == nil && !j.Away.IsZero() {
		j.Outcome.Gap = time.Since(j.Away)
	}
	return wait, err
}

func agent(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	addresses, wait, err := to.Agent(ctx, j.Ref, j.Handle)
	j.Outcome.Addresses = addresses
	return wait, err
}

func park(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.SetParked(ctx, j.Ref, true, j.Handle)
}

func unpark(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.SetParked(ctx, j.Ref, false, j.Handle)
}

func shutdown(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	if j.Away.IsZero() {
		j.Away = time.Now()
	}
	return to.Stop(ctx, j.Ref, j.Handle)
}

func unprotect(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Unprotect(ctx, j.Ref, j.Handle)
}

func destroy(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Destroy(ctx, j.Ref, j.Handle)
}

// adopt makes a VM provably ours. When that VM is going to be replaced, the
// record is the new one's, and the old VM keeps its own identifier, host and UUID.
func adopt(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	record := j.Record
	if j.Worker.Action == plan.Replace {
		record.Host, record.VM = j.Ref.Host, j.Ref.ID
		record.UUID = cmp.Or(j.Ref.UUID, record.UUID)
		record.Replacing, record.Created, record.Finished = "", "", "" // those are the successor's
	}
	wait, err := to.Adopt(ctx, j.Ref, record, j.Handle)
	if err == nil && wait == nil {
		j.Ref = inventory.VMRef{Host: record.Host, ID: j.Ref.ID, Name: record.Worker, UUID: record.UUID}
	}
	return wait, err
}

func disown(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Disown(ctx, j.Ref, j.Handle)
}

// replaced notes in the VM that the replace which made it is finished.
func replaced(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	record := j.Record
	record.Replaced, record.Replacing = record.Replacing, ""
	record.Finished = j.Since.UTC().Format(time.RFC3339)
	wait, err := to.SetRecord(ctx, j.Ref, record, j.Handle)
	if err == nil && wait == nil {
		j.Record = record
	}
	return wait, err
}
