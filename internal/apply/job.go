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

// Job is the work on one worker: where it is in the steps of its plan, and what
// the steps before found out. It may be thrown away at any time: a new plan has
// the steps that are left.
type Job struct {
	Worker *plan.Worker
	Record inventory.Record
	Ref    inventory.VMRef // the VM that the next step is about
	// Claimed is what the card's claim says of the worker, as the plan saw it; zero
	// for nothing.
	Claimed inventory.Record
	Outcome Outcome

	at     int               // the next step
	Handle hypervisor.Handle // of the last Wait of this step
	Since  time.Time         // when the step began, or was told last to wait for room; zero before
	Away   time.Time         // when the worker's VM was stopped

	held       inventory.Record // Claimed, or what this job wrote after it
	renumbered int
	ids        *ids
	trouble    trouble
	hurried    int       // calls in a row that were to be repeated at once
	queued     time.Time // since when this step waits for room; zero when it does not
}

// newJob begins the work on a worker.
func newJob(worker *plan.Worker, options Options, ids *ids) *Job {
	j := &Job{Worker: worker, ids: ids}
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
		if j.Record.UUID == "" { // a VM that is to be made
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
func (j *Job) Done() bool { return j.at >= len(j.Worker.Steps) }

// Step is the kind of the next step; that of the last one when all are done.
func (j *Job) Step() plan.StepKind { return j.Worker.Steps[min(j.at, len(j.Worker.Steps)-1)] }

// goOn goes to the next step.
func (j *Job) goOn() {
	j.at++
	j.Since, j.Handle, j.trouble, j.hurried, j.queued = time.Time{}, "", trouble{}, 0, time.Time{}
	j.Outcome.VM = j.Ref.ID
}

// goBack goes back to an earlier step, if the worker has it; else it begins the
// present one anew.
func (j *Job) goBack(kind plan.StepKind) {
	if at := slices.Index(j.Worker.Steps[:j.at], kind); at >= 0 {
		j.at = at
	}
}

// ids gives out further identifiers for new VMs, none of them twice.
type ids struct {
	mu    sync.Mutex
	taken map[string]bool
}

func (i *ids) next(ctx context.Context, to hypervisor.Builder) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, err := to.FreeID(ctx, i.taken)
	if err == nil {
		i.taken[id] = true
	}
	return id, err
}
