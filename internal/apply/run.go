package apply

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/logging"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Options say how a plan is carried out.
type Options struct {
	// By is the author of claims, "user@machine".
	By string
	// NewUUID makes the UUID of a new VM.
	NewUUID func() string
	// Parallel limits how many steps are called at the same moment on all hosts together,
	// PerHost on one host. A worker that waits between two calls does not count. 0 means
	// 64 and 4.
	Parallel, PerHost int
	// AddressWait is how long the step agent may take: nil is DefaultAddressWait. With 0,
	// and less, the agent is not asked at all.
	AddressWait *time.Duration
	// GuestWait is how long the step bootstrap may take: nil is DefaultGuestWait. With 0 the
	// guest is not waited for: a later apply proves it.
	GuestWait *time.Duration
	// Guest returns what guests are made from; needed only for plans with guest steps.
	Guest GuestOf
	// Progress is called for each event, one at a time. May be nil.
	Progress func(Event)
	// Log gets each step; nil logs nothing.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = 64
	}
	if o.PerHost <= 0 {
		o.PerHost = 4
	}
	if o.AddressWait == nil {
		wait := DefaultAddressWait
		o.AddressWait = &wait
	}
	if o.GuestWait == nil {
		wait := DefaultGuestWait
		o.GuestWait = &wait
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	o.Log = logging.OrSilent(o.Log)
	return o
}

// todo is the worker with the steps that are to be done.
func (o Options) todo(worker *plan.Worker) *plan.Worker {
	var leave []plan.StepKind
	if *o.AddressWait <= 0 {
		leave = append(leave, plan.StepAgent)
	}
	if *o.GuestWait <= 0 && slices.Contains(worker.Steps, plan.StepBootstrap) {
		leave = append(leave, plan.StepBootstrap, plan.StepOrders, plan.StepExchange, plan.StepRecord)
	}
	without := *worker
	without.Steps = slices.DeleteFunc(slices.Clone(worker.Steps), func(kind plan.StepKind) bool { return slices.Contains(leave, kind) })
	return &without
}

// Run carries out the steps of the workers of the plan and returns the outcome of each
// worker that has steps. A failure ends the steps of that worker only. When ctx is canceled, each
// worker stops at its present step, and its outcome says so.
func Run(ctx context.Context, to hypervisor.Backend, p *plan.Plan, options Options) Result {
	r := &runner{to: to, hypervisor: p.Hypervisor, options: options.withDefaults(), limits: map[string]chan struct{}{}}
	pool := &idPool{taken: map[string]bool{}}
	began := time.Now()
	var jobs []*Job
	for worker := range p.Workers() {
		if worker.Record != nil {
			pool.taken[worker.Record.VM] = true
		}
		if worker = r.options.todo(worker); len(worker.Steps) > 0 {
			jobs = append(jobs, newJob(worker, r.options, pool))
		}
	}
	outcomes := make([]Outcome, len(jobs))
	var group sync.WaitGroup
	for i, job := range jobs {
		group.Go(func() { outcomes[i] = r.run(ctx, job) })
	}
	group.Wait()
	return Result{Hypervisor: p.Hypervisor, Outcomes: outcomes, Took: time.Since(began)}
}

// runner is one run of a plan.
type runner struct {
	to         hypervisor.Backend
	hypervisor string
	options    Options

	mu     sync.Mutex
	limits map[string]chan struct{} // semaphores by host, and one for all

	reporting sync.Mutex // held while Progress is called
}

// run advances a job until it is done or cannot go on.
func (r *runner) run(ctx context.Context, j *Job) Outcome {
	log := jobLog{Logger: r.options.Log, hypervisor: r.hypervisor}
	for !j.Done() {
		kind, began, warned := j.Step(), j.Since, len(j.Outcome.Warnings)
		if began.IsZero() { // the step has not been called yet
			began = time.Now()
			r.report(Event{Worker: j.Worker.Name, Step: kind, Phase: Began})
		}
		wait, err := r.advance(ctx, j)
		event := Event{Worker: j.Worker.Name, Step: kind, Phase: Done, Took: time.Since(began)}
		switch {
		case err != nil:
			event.Phase, event.Detail = failurePhase(ctx), err.Error()
		case wait != nil:
			event.Phase, event.Took, event.Detail = Working, 0, waitWords(wait)
		case len(j.Outcome.Warnings) > warned:
			event.Phase, event.Detail = Warned, j.Outcome.Warnings[warned].Text
		}
		if wait == nil || wait.For != "" { // a wait without words is only a short pause
			r.report(event)
			log.note(ctx, j, event, err)
		}
		if err != nil {
			return j.fail(kind, err)
		}
		if wait != nil {
			sleep(ctx, wait.CallAfter)
		}
	}
	return j.Outcome
}

func failurePhase(ctx context.Context) Phase {
	if ctx.Err() != nil {
		return Stopped
	}
	return Failed
}

func waitWords(wait *hypervisor.Wait) string {
	if wait.Progress == "" {
		return wait.For
	}
	return wait.For + ", " + wait.Progress
}

// sleep waits for the pause, or until ctx is canceled; at most reportEvery, so that a
// long wait is reported that often.
func sleep(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	timer := time.NewTimer(min(pause, reportEvery))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// reportEvery is the longest time between two progress reports of a waiting worker.
const reportEvery = 10 * time.Second

// advance calls a step once, within the limits. The limit of the host is taken first,
// so that a worker that waits for a busy host does not block workers on idle hosts.
func (r *runner) advance(ctx context.Context, j *Job) (*hypervisor.Wait, error) {
	for _, limit := range []chan struct{}{r.limit("host "+j.Worker.Host, r.options.PerHost), r.limit("all", r.options.Parallel)} {
		select {
		case limit <- struct{}{}:
			defer func() { <-limit }()
		case <-ctx.Done(): // Advance then returns the error of an interrupted job
		}
	}
	return Advance(ctx, r.to, j)
}

func (r *runner) limit(what string, most int) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limits[what] == nil {
		r.limits[what] = make(chan struct{}, most)
	}
	return r.limits[what]
}

func (r *runner) report(e Event) {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	e.Time = time.Now()
	r.options.Progress(e)
}

// fail ends a job with an error.
func (j *Job) fail(step plan.StepKind, err error) Outcome {
	j.Outcome.Step, j.Outcome.Err = step, err
	j.Outcome.Error, j.Outcome.Fix = err.Error(), fault.FixOf(err)
	j.Outcome.VM, j.Outcome.UUID = j.Ref.ID, j.Ref.UUID
	return j.Outcome
}
