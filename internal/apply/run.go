package apply

import (
	"context"
	"log/slog"
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
	// Parallel is the maximum number of parallel calls of steps over all hosts,
	// PerHost on one host. A worker that waits between two calls does not count.
	Parallel, PerHost int
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
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	o.Log = logging.OrSilent(o.Log)
	return o
}

// Run carries out the steps of every worker of the plan and returns the outcome of
// each. A failure ends the steps of that worker only. When ctx is canceled, each
// worker stops at its present step, and its outcome says so.
func Run(ctx context.Context, to hypervisor.Backend, p *plan.Plan, options Options) Result {
	r := &runner{to: to, hypervisor: p.Hypervisor, options: options.withDefaults(), limits: map[string]chan struct{}{}}
	ids := &ids{taken: map[string]bool{}}
	began := time.Now()
	var jobs []*Job
	for worker := range p.Workers() {
		if worker.Record != nil {
			ids.taken[worker.Record.VM] = true
		}
		if len(worker.Steps) > 0 {
			jobs = append(jobs, newJob(worker, options, ids))
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
		kind, began, warnings := j.Step(), j.Since, len(j.Outcome.Warnings)
		if began.IsZero() {
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
		case len(j.Outcome.Warnings) > warnings:
			event.Phase, event.Detail = Warned, j.Outcome.Warnings[warnings]
		}
		if wait == nil || wait.For != "" {
			r.report(event)
			log.note(ctx, j, event, err)
		}
		if err != nil {
			return j.fail(kind, err)
		}
		if wait != nil {
			sleep(ctx, wait.Again)
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
	if wait.Far == "" {
		return wait.For
	}
	return wait.For + ", " + wait.Far
}

// sleep waits for the pause, at most reportEvery, or until ctx is canceled.
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
		case <-ctx.Done():
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
	j.Outcome.VM = j.Ref.ID
	return j.Outcome
}
