package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// Apply carries plans out. First it observes the world again: if a decision would now
// be different, it changes nothing and returns a fault.Conflict. Failures of single
// workers are in the results and joined in the error; the other workers go on.
func (e *Engine) Apply(ctx context.Context, plans Plans, options ApplyOptions) (Applied, error) {
	options.Progress = oneAtATime(options.Progress)
	results, errs := make([]apply.Result, len(plans.Plans)), make([]error, len(plans.Plans))
	current := make([]*plan.Plan, len(plans.Plans))
	if plans.Request.AllOrNothing { // before anything is changed on any hypervisor
		each(plans.Plans, func(i int, p *plan.Plan) {
			results[i].Hypervisor = p.Hypervisor
			current[i], errs[i] = e.confirm(ctx, plans, p)
		})
		if err := errors.Join(errs...); err != nil {
			return Applied{Results: results}, err
		}
	}
	each(plans.Plans, func(i int, p *plan.Plan) { results[i], errs[i] = e.applyOne(ctx, plans, p, current[i], options) })
	err := errors.Join(errs...)
	return Applied{Results: results}, withFailures(err, results...)
}

// withFailures joins an error with those of the workers that failed.
func withFailures(err error, results ...apply.Result) error {
	for _, result := range results {
		for _, outcome := range result.Failed() {
			err = errors.Join(err, outcome.Err)
		}
	}
	return err
}

// each calls do for all plans in parallel, so that a failure of one hypervisor does
// not affect the others.
func each(plans []*plan.Plan, do func(i int, p *plan.Plan)) {
	var group sync.WaitGroup
	for i, p := range plans {
		group.Go(func() { do(i, p) })
	}
	group.Wait()
}

// oneAtATime serializes the calls of ApplyOptions.Progress over several hypervisors.
func oneAtATime(progress func(apply.Event)) func(apply.Event) {
	var mu sync.Mutex
	return func(event apply.Event) {
		mu.Lock()
		defer mu.Unlock()
		if progress != nil {
			progress(event)
		}
	}
}

// applyOne carries out the plan of one hypervisor. current is the plan from confirm;
// nil when it was not called yet. A worker that may be a running clone of an earlier
// run waits for that clone, in parallel with the work on other workers, and is
// planned again when the clone is done.
func (e *Engine) applyOne(ctx context.Context, plans Plans, p, current *plan.Plan, options ApplyOptions) (apply.Result, error) {
	result := apply.Result{Hypervisor: p.Hypervisor}
	if nothingIn(p) {
		return result, nil
	}
	document, ok := plans.Documents.Hypervisor(p.Hypervisor)
	if !ok {
		return result, fmt.Errorf("hypervisor %q is not in the documents", p.Hypervisor)
	}
	began := time.Now()
	e.logBegin(plans.Request, p)
	var err error
	if current == nil {
		current, err = e.confirm(ctx, plans, p)
	}
	for err == nil {
		var settled []string
		if settled, err = e.round(ctx, plans.Documents.Documents, document, current, options, &result); err != nil || len(settled) == 0 {
			break
		}
		if current, err = e.replan(ctx, plans, document); err == nil {
			current = only(current, setOf(settled))
			result.Outcomes = append(result.Outcomes, refusedOutcomes(current)...)
			err = conflict(p, "the workers that waited for a clone were not changed", otherReplaces(p, current))
		}
	}
	result.Took = time.Since(began)
	e.logEnd(result, err)
	return result, err
}

// nothingIn reports whether a plan needs no work.
func nothingIn(p *plan.Plan) bool { return p.Blocked != "" || p.Empty() && !waits(p) }

// confirm plans again for one hypervisor and returns the current plan, or an error
// when it decides differently from p. It returns nil when p needs no work.
func (e *Engine) confirm(ctx context.Context, plans Plans, p *plan.Plan) (*plan.Plan, error) {
	document, ok := plans.Documents.Hypervisor(p.Hypervisor)
	if nothingIn(p) || !ok {
		return nil, nil
	}
	current, err := e.replan(ctx, plans, document)
	if err == nil {
		err = unchanged(p, current)
	}
	return current, err
}

// replan observes the hypervisor again and makes a new plan for the same request.
func (e *Engine) replan(ctx context.Context, plans Plans, document *v1alpha1.Hypervisor) (*plan.Plan, error) {
	within := extentOf(plans.Request)
	if !plans.foundAll() {
		within = whole
	}
	in, err := e.lookAt(ctx, plans.Documents.Documents, document, plans.Request, within)
	if err != nil {
		return nil, err
	}
	current, err := planner.Make(in)
	if fault.Is(err, fault.NotFound) { // it existed when the first plan was made
		err = &fault.Error{Kind: fault.Conflict, Cause: err}
	}
	return current, err
}

// round carries a plan out once. It returns the workers whose clone is done now and
// that have to be planned again.
func (e *Engine) round(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, p *plan.Plan, options ApplyOptions, result *apply.Result) (settled []string, err error) {
	backend, err := e.backend(ctx, documents, document)
	if err != nil {
		return nil, err
	}
	guests, err := e.guestsOf(documents, document, p)
	if err != nil {
		return nil, err
	}
	for worker := range p.Workers() {
		if worker.Awaits != nil {
			worker.Steps = []plan.StepKind{plan.StepSettle}
		}
	}
	done := apply.Run(ctx, backend, p, apply.Options{
		By: e.options.By, NewUUID: e.options.NewUUID, Parallel: options.Parallel, AddressWait: options.AddressWait, GuestWait: options.GuestWait, Guest: guests, Progress: options.Progress,
		Log: e.options.Log,
	})
	for _, outcome := range done.Outcomes {
		if outcome.Action == plan.Wait && outcome.Err == nil {
			settled = append(settled, outcome.Worker)
		} else {
			result.Outcomes = append(result.Outcomes, outcome)
		}
	}
	return settled, nil
}

// refusedOutcomes are failures of workers that waited for a clone and are refused now,
// which the plan that was shown did not say.
func refusedOutcomes(p *plan.Plan) []apply.Outcome {
	var outcomes []apply.Outcome
	for w := range p.Workers() {
		e := &fault.Error{Kind: fault.Refused, Where: fault.Place{Hypervisor: p.Hypervisor, Worker: w.Name}, Why: p.Blocked, Fix: "look at the new plan: gpuworker plan"}
		switch {
		case w.Action == plan.Refuse:
			e.Why, e.Fix = fmt.Sprintf("%s (%s)", w.Refusals[0].Reason, w.Refusals[0].ID), w.Refusals[0].Fix
		case p.Blocked == "" || w.Action == plan.Keep:
			continue
		}
		outcomes = append(outcomes, apply.Outcome{
			Worker: w.Name, Action: w.Action, Host: w.Host, VM: w.VM, Step: plan.StepSettle, Err: e, Error: e.Error(), Fix: e.Fix,
		})
	}
	return outcomes
}

func waits(p *plan.Plan) bool {
	for worker := range p.Workers() {
		if worker.Action == plan.Wait {
			return true
		}
	}
	return false
}

// unchanged returns an error when the current plan decides differently from the plan
// that a person saw. Workers that wait for a clone may differ.
func unchanged(seen, current *plan.Plan) error {
	if seen.Fingerprint == current.Fingerprint {
		return nil
	}
	waited := map[string]bool{}
	for worker := range seen.Workers() {
		if worker.Action == plan.Wait {
			waited[worker.Name] = true
		}
	}
	_, differences := plan.Same(without(seen, waited), without(current, waited))
	return conflict(seen, "nothing was done", append(differences, otherReplaces(seen, current)...))
}

// otherReplaces names the workers that wait for a clone in the plan that was shown,
// and whose replace would now destroy a VM that this plan did not show.
func otherReplaces(seen, current *plan.Plan) []string {
	waited := map[string]*plan.Worker{}
	for worker := range seen.Workers() {
		if worker.Action == plan.Wait {
			waited[worker.Name] = worker
		}
	}
	var differences []string
	for worker := range current.Workers() {
		if before := waited[worker.Name]; before != nil && worker.Action == plan.Replace && !replacesShownVM(before, worker) {
			differences = append(differences, fmt.Sprintf("%s: its VM is not the one that was to be replaced", worker.Name))
		}
	}
	return differences
}

// conflict is the error for a plan that differs from the one that was shown; nil
// without differences. undone says what was not done.
func conflict(seen *plan.Plan, undone string, differences []string) error {
	if len(differences) == 0 {
		return nil
	}
	return &fault.Error{
		Kind: fault.Conflict, Doing: "apply the plan", Where: fault.Place{Hypervisor: seen.Hypervisor},
		Why: fmt.Sprintf("the world changed since the plan was made, %s: %s", undone, strings.Join(differences, "; ")),
		Fix: "look at the new plan and apply that",
	}
}

// replacesShownVM reports whether the VM that is replaced now is the one in the plan
// that was shown, and was not itself an unfinished replacement then.
func replacesShownVM(waited, now *plan.Worker) bool {
	return waited.Ref != nil && now.Ref != nil && waited.Ref.UUID == now.Ref.UUID && waited.Record.Replacing == ""
}

// without is a copy of the plan without the named workers; only is a copy with these
// workers alone.
func without(p *plan.Plan, names map[string]bool) *plan.Plan {
	return filter(p, func(w plan.Worker) bool { return !names[w.Name] })
}

func only(p *plan.Plan, names map[string]bool) *plan.Plan {
	return filter(p, func(w plan.Worker) bool { return names[w.Name] })
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

func filter(p *plan.Plan, keep func(plan.Worker) bool) *plan.Plan {
	rest := *p
	rest.Pools = slices.Clone(p.Pools)
	for i := range rest.Pools {
		rest.Pools[i].Workers = slices.DeleteFunc(slices.Clone(rest.Pools[i].Workers), func(w plan.Worker) bool { return !keep(w) })
	}
	return &rest
}
