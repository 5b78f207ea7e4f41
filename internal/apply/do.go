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

// settle waits for a clone of an earlier run, or of another engine, that may become
// this worker. After that the worker is planned again.
func settle(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	vm, err := to.ObserveVM(ctx, *j.Worker.Awaits)
	if err != nil || vm == nil || vm.State != inventory.Cloning {
		return nil, err
	}
	return &hypervisor.Wait{
		For: fmt.Sprintf("the clone of an earlier run or another engine, VM %s", vm.ID), CallAfter: settleEvery, UnderWay: true,
	}, nil
}

// settleEvery is how often a foreign clone is polled.
const settleEvery = 5 * time.Second

// clone clones the template. When the planned identifier is in use by now, it takes
// another one and first updates the claim: while a clone has no name, only the claim
// says which worker it is for.
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

// maxRenumbered is how often a worker may take another identifier.
const maxRenumbered = 20

// mayBeOurs is the error for an identifier that an earlier run claimed for this
// worker, that was free when the plan was made, and that is in use now: probably by a
// clone that the earlier run requested just before it ended. Another identifier would
// give the worker a second VM. The next run sees whose VM it is.
func (j *Job) mayBeOurs(err error) error {
	return &fault.Error{
		Kind: fault.Conflict, Doing: "clone the template",
		Where: fault.Place{Host: j.Record.Host, VM: j.Record.VM, Worker: j.Worker.Name},
		Why:   "an earlier run claimed this number for this worker, and a moment ago it was free", Cause: err,
		Fix: "run the same command again: it waits for a clone of the earlier run, and takes another number if the VM is not ours",
	}
}

// renumber takes another identifier and goes back to the claim, which has to name it.
func (j *Job) renumber(ctx context.Context, to hypervisor.Backend) (*hypervisor.Wait, error) {
	id, err := j.ids.next(ctx, to)
	if err != nil {
		return nil, err
	}
	was := j.Record.VM
	j.Record.VM, j.Ref.ID = id, id
	j.renumbered++
	j.goBack(plan.StepClaim)
	return &hypervisor.Wait{For: fmt.Sprintf("VM number %s, because %s is in use", id, was)}, nil
}

// claim reserves the card. It may replace only the claim that the plan has seen, or
// the one that this job wrote before.
func claim(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	wait, err := to.Claim(ctx, j.Ref, j.Record, j.held, j.Handle)
	if err == nil && wait == nil {
		j.held = j.Record
	}
	return wait, err
}

// release releases the claim that the plan has seen.
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
	if err == nil && wait == nil && !j.Stopped.IsZero() {
		j.Outcome.Gap = time.Since(j.Stopped)
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
	if j.Stopped.IsZero() {
		j.Stopped = time.Now()
	}
	return to.Stop(ctx, j.Ref, j.Handle)
}

func unprotect(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Unprotect(ctx, j.Ref, j.Handle)
}

func destroy(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.Destroy(ctx, j.Ref, j.Handle)
}

// adopt marks a VM as ours. When the VM is going to be replaced, j.Record describes
// the new VM, but the old one keeps its own identifier, host and UUID.
func adopt(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	record := j.Record
	if j.Worker.Action == plan.Replace {
		record.Host, record.VM = j.Ref.Host, j.Ref.ID
		record.UUID = cmp.Or(j.Ref.UUID, record.UUID)
		record.Replacing, record.Created, record.Finished = "", "", "" // these belong to the new VM
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

// replaced records in the VM that the replace which made it is finished.
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
