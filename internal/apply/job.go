package apply

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Job is the work on one worker: its present step, and the results of the steps
// before. It may be discarded at any time: a new plan has the remaining steps.
type Job struct {
	Worker *plan.Worker
	Record inventory.Record
	Ref    inventory.VMRef // the VM that the next step is about
	// Claimed is the worker's claim on the card when the plan was made; zero for none.
	Claimed inventory.Record
	Outcome Outcome

	addressWait time.Duration // how long the step agent may take
	guestWait   time.Duration // how long the step bootstrap may take

	index   int               // of the present step
	Handle  hypervisor.Handle // of the last Wait of this step
	Since   time.Time         // when the step began, or when it was last reported as queued; zero before
	Stopped time.Time         // when the worker's VM was stopped

	guestOf GuestOf
	guest   guestState // of the present step
	proven  bool       // the guest was proven in this job

	held       inventory.Record // Claimed, or the claim that this job wrote after it
	renumbered int              // how often the job took another identifier
	ids        *idPool
	retry      retry
	immediate  int       // consecutive calls that asked to be repeated at once
	queued     time.Time // since when this step is queued; zero when it is not
}

// newJob makes the job of a worker.
func newJob(worker *plan.Worker, options Options, ids *idPool) *Job {
	j := &Job{Worker: worker, ids: ids, addressWait: *options.AddressWait, guestWait: *options.GuestWait, guestOf: options.Guest}
	if worker.Claimed != nil {
		j.Claimed, j.held = *worker.Claimed, *worker.Claimed
	}
	j.Outcome = Outcome{Worker: worker.Name, Action: worker.Action, Host: worker.Host, VM: worker.VM}
	if worker.Ref != nil {
		j.Ref = *worker.Ref
	}
	if worker.Record != nil {
		j.Record = *worker.Record
		j.Record.By = options.By
		if j.Record.UUID == "" { // a new VM
			j.Record.UUID = options.NewUUID()
			j.Record.Created = time.Now().UTC().Format(time.RFC3339)
		}
		if worker.Ref == nil {
			j.Ref = refOf(j.Record)
		}
	}
	return j
}

func refOf(record inventory.Record) inventory.VMRef {
	return inventory.VMRef{Host: record.Host, ID: record.VM, Name: record.Worker, UUID: record.UUID}
}

// Done reports whether no step is left.
func (j *Job) Done() bool { return j.index >= len(j.Worker.Steps) }

// Step is the kind of the present step; of the last step when all are done.
func (j *Job) Step() plan.StepKind { return j.Worker.Steps[min(j.index, len(j.Worker.Steps)-1)] }

// deadline is how long the present step may take.
func (j *Job) deadline() time.Duration {
	switch step := j.Step(); {
	case step == plan.StepAgent:
		return j.addressWait
	case step == plan.StepBootstrap:
		return j.guestWait
	}
	return Steps[j.Step()].Deadline
}

// left is how much of that time is left.
func (j *Job) left() time.Duration { return j.deadline() - time.Since(j.Since) }

// nextStep goes to the next step.
func (j *Job) nextStep() {
	j.index++
	j.Since, j.Handle, j.retry, j.immediate, j.queued = time.Time{}, "", retry{}, 0, time.Time{}
	j.guest = guestState{}
	j.Outcome.VM, j.Outcome.UUID = j.Ref.ID, j.Ref.UUID
}

// goBack goes back to an earlier step. Without such a step, the job stays at the
// present one.
func (j *Job) goBack(kind plan.StepKind) {
	if i := slices.Index(j.Worker.Steps[:j.index], kind); i >= 0 {
		j.index = i
	}
}

// idPool hands out further identifiers for new VMs, each only once.
type idPool struct {
	mu    sync.Mutex
	taken map[string]bool
}

func (i *idPool) next(ctx context.Context, to hypervisor.Builder) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, err := to.FreeID(ctx, i.taken)
	if err == nil {
		i.taken[id] = true
	}
	return id, err
}
