package apply

import (
	"context"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Options say how a plan is carried out.
type Options struct {
	// By names who runs this, for claims.
	By string
	// Claims are those of the snapshot that the plan was made from.
	Claims []inventory.Claim
	// NewUUID makes the identity of a new VM.
	NewUUID func() string
	// Parallel bounds the workers in work at once, over all hosts. One that only
	// waits for its guest is not in work.
	Parallel int
	// PerHost bounds them on one host: starts of large VMs compete for memory.
	PerHost int
	// FullClones and LinkedClones bound the clones on one storage, of all hosts
	// that share it. With more than two full clones at once the storage's lock
	// times out (pve-storage, cluster_lock_storage).
	FullClones, LinkedClones int
	// Progress is told each event, one at a time. May be nil.
	Progress func(Event)
}

func (o Options) withDefaults() Options {
	pick := func(value *int, fallback int) {
		if *value <= 0 {
			*value = fallback
		}
	}
	pick(&o.Parallel, 64)
	pick(&o.PerHost, 4)
	pick(&o.FullClones, 2)
	pick(&o.LinkedClones, 4)
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	return o
}

// Run carries out the steps of every worker of the plan and says what became of
// each. A failure ends the steps of that worker only. When ctx ends, each worker
// stops at the step it is at, and the outcome says so.
func Run(ctx context.Context, target Target, p *plan.Plan, options Options) Result {
	r := &runner{
		target: target, options: options.withDefaults(), plan: p,
		limits: map[string]chan struct{}{}, taken: map[int]bool{},
	}
	began := time.Now()
	var work []*plan.Worker
	for worker := range p.Workers() {
		if worker.Record != nil {
			r.taken[worker.Record.VMID] = true
		}
		if len(worker.Steps) > 0 {
			work = append(work, worker)
		}
	}
	outcomes := make([]Outcome, len(work))
	var group sync.WaitGroup
	for i, worker := range work {
		group.Go(func() { outcomes[i] = r.run(ctx, worker) })
	}
	group.Wait()
	return Result{Hypervisor: p.Hypervisor, Outcomes: outcomes, Took: time.Since(began)}
}

// runner is one run of a plan.
type runner struct {
	target  Target
	options Options
	plan    *plan.Plan

	mu     sync.Mutex
	limits map[string]chan struct{} // semaphores by what they limit

	taken map[int]bool // VM numbers that this run uses; the limit "numbers" guards it

	telling sync.Mutex
}

// run does all steps of one worker.
func (r *runner) run(ctx context.Context, worker *plan.Worker) Outcome {
	j := &job{runner: r, worker: worker, outcome: Outcome{Worker: worker.Name, Action: worker.Action, Host: worker.Host, VMID: worker.VMID}}
	if worker.Ref != nil {
		j.ref = *worker.Ref
	}
	if worker.Record != nil {
		j.record = *worker.Record
		j.record.By = r.options.By
		if j.record.UUID == "" { // a VM that is to be made
			j.record.UUID = r.options.NewUUID()
			j.record.Created = time.Now().UTC().Format(time.RFC3339)
		}
		if worker.Ref == nil {
			j.ref = refOf(j.record)
		}
	}
	j.seen = r.claimOf(worker)
	j.claimed = j.seen
	// The host first: whoever waits for a busy host must not keep others from an
	// idle one.
	release, err := r.acquire(ctx, limit{"host " + worker.Host, r.options.PerHost}, limit{"all", r.options.Parallel})
	if err != nil {
		return j.stop(worker.Steps[0], err)
	}
	release = sync.OnceFunc(release)
	defer release()
	for _, step := range worker.Steps {
		if step == plan.StepAgent {
			release() // the guest boots, which is no work of the host's API
		}
		if err := j.step(ctx, step); err != nil {
			return j.stop(step, err)
		}
	}
	j.outcome.VMID = j.ref.VMID
	return j.outcome
}

// claimOf is the claim on the worker's card, as the plan saw it; zero for none.
func (r *runner) claimOf(worker *plan.Worker) inventory.Record {
	for _, claim := range r.options.Claims {
		if worker.Slot != nil && claim.Host == worker.Host && claim.Slot == *worker.Slot && claim.Record.Worker == worker.Name && claim.Problem == "" {
			return claim.Record
		}
	}
	return inventory.Record{}
}

func refOf(record inventory.Record) inventory.VMRef {
	return inventory.VMRef{Host: record.Host, VMID: record.VMID, Name: record.Worker, UUID: record.UUID}
}

func (r *runner) tell(e Event) {
	r.telling.Lock()
	defer r.telling.Unlock()
	e.Time = time.Now()
	r.options.Progress(e)
}

// limit is a bound on how many may do something at once.
type limit struct {
	what string
	most int
}

// acquire takes a place under each limit, in the order given, and returns how to
// give them back.
func (r *runner) acquire(ctx context.Context, limits ...limit) (release func(), err error) {
	var held []chan struct{}
	release = func() {
		for _, semaphore := range held {
			<-semaphore
		}
	}
	for _, l := range limits {
		semaphore := r.semaphore(l)
		select {
		case semaphore <- struct{}{}:
			held = append(held, semaphore)
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
	return release, nil
}

func (r *runner) semaphore(l limit) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limits[l.what] == nil {
		r.limits[l.what] = make(chan struct{}, l.most)
	}
	return r.limits[l.what]
}

// newNumber finds another VM number that nobody uses, this run included.
func (r *runner) newNumber(ctx context.Context) (int, error) {
	release, err := r.acquire(ctx, limit{"numbers", 1})
	if err != nil {
		return 0, err
	}
	defer release()
	vmid, err := r.target.FreeVMID(ctx, r.taken)
	if err == nil {
		r.taken[vmid] = true
	}
	return vmid, err
}

// stop ends a worker's job with an error.
func (j *job) stop(step plan.StepKind, err error) Outcome {
	j.outcome.Step, j.outcome.Err = step, err
	j.outcome.Error, j.outcome.Fix = err.Error(), fault.FixOf(err)
	j.outcome.VMID = j.ref.VMID
	return j.outcome
}
