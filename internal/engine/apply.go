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

// Apply carries plans out. It looks at the world again first, and when it
// changed in a way that changes a decision it does nothing and returns a
// fault.Conflict. Failures of single workers are in the results and joined in
// the error; the other workers are done all the same.
func (e *Engine) Apply(ctx context.Context, plans Plans, options ApplyOptions) (Applied, error) {
	options.Progress = oneAtATime(options.Progress)
	results, errs := make([]apply.Result, len(plans.Plans)), make([]error, len(plans.Plans))
	again := make([]*plan.Plan, len(plans.Plans))
	if plans.Request.AllOrNothing { // before anything is done anywhere
		each(plans.Plans, func(i int, p *plan.Plan) {
			results[i].Hypervisor = p.Hypervisor
			again[i], errs[i] = e.agreed(ctx, plans, p)
		})
		if err := errors.Join(errs...); err != nil {
			return Applied{Results: results}, err
		}
	}
	each(plans.Plans, func(i int, p *plan.Plan) { results[i], errs[i] = e.applyOne(ctx, plans, p, again[i], options) })
	err := errors.Join(errs...)
	applied := Applied{Results: results}
	for _, result := range results {
		for _, outcome := range result.Failed() {
			err = errors.Join(err, outcome.Err)
		}
	}
	return applied, err
}

// each does something for all plans at once: one hypervisor's trouble does not stop
// the work on another.
func each(plans []*plan.Plan, do func(i int, p *plan.Plan)) {
	var group sync.WaitGroup
	for i, p := range plans {
		group.Go(func() { do(i, p) })
	}
	group.Wait()
}

// oneAtATime keeps the promise of ApplyOptions.Progress over several
// hypervisors.
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

// applyOne carries out the plan of one hypervisor; fresh is what agreed gave for it,
// nil when nobody asked yet. Workers that may be under way as a clone of an earlier
// run are waited for, beside the others; what they need is planned when that clone
// is done.
func (e *Engine) applyOne(ctx context.Context, plans Plans, p, again *plan.Plan, options ApplyOptions) (apply.Result, error) {
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
	if again == nil {
		again, err = e.agreed(ctx, plans, p)
	}
	for err == nil {
		var settled []string
		if settled, err = e.round(ctx, plans.Documents.Documents, document, again, options, &result); err != nil || len(settled) == 0 {
			break
		}
		if again, err = e.again(ctx, plans, document); err == nil {
			again = only(again, setOf(settled))
			result.Outcomes = append(result.Outcomes, leftUndone(again)...)
			err = conflict(p, "the workers that had to be waited for were left alone", differently(p, again))
		}
	}
	result.Took = time.Since(began)
	e.logEnd(result, err)
	return result, err
}

// nothingIn reports whether there is nothing to be done for a plan.
func nothingIn(p *plan.Plan) bool { return p.Blocked != "" || p.Empty() && !waits(p) }

// agreed is the plan of one hypervisor made anew, when it decides what the one that
// was seen does; nil when that one has nothing to be done.
func (e *Engine) agreed(ctx context.Context, plans Plans, p *plan.Plan) (*plan.Plan, error) {
	document, ok := plans.Documents.Hypervisor(p.Hypervisor)
	if nothingIn(p) || !ok {
		return nil, nil
	}
	again, err := e.again(ctx, plans, document)
	if err == nil {
		err = unchanged(p, again)
	}
	return again, err
}

// again looks at the hypervisor and makes a plan anew.
func (e *Engine) again(ctx context.Context, plans Plans, document *v1alpha1.Hypervisor) (*plan.Plan, error) {
	how := extentOf(plans.Request)
	if !plans.foundAll() {
		how = whole
	}
	in, err := e.lookAt(ctx, plans.Documents.Documents, document, plans.Request, how)
	if err != nil {
		return nil, err
	}
	again, err := planner.Make(in)
	if fault.Is(err, fault.NotFound) { // it was there when the plan was made
		err = &fault.Error{Kind: fault.Conflict, Cause: err}
	}
	return again, err
}

// round carries a plan out once, and tells which workers had to be waited for and
// can be planned now.
func (e *Engine) round(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, p *plan.Plan, options ApplyOptions, result *apply.Result) (settled []string, err error) {
	backend, err := e.backend(ctx, documents, document)
	if err != nil {
		return nil, err
	}
	for worker := range p.Workers() {
		if worker.Awaits != nil {
			worker.Steps = []plan.StepKind{plan.StepSettle}
		}
	}
	done := apply.Run(ctx, backend, p, apply.Options{
		By: e.options.By, NewUUID: e.options.NewUUID, Parallel: options.Parallel, Progress: options.Progress,
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

// leftUndone are the workers that were waited for and cannot be done now: nobody
// has seen that in the plan that was shown.
func leftUndone(p *plan.Plan) []apply.Outcome {
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

// unchanged compares the plan that a person saw with one made just now. Workers
// that had to be waited for are expected to differ.
func unchanged(seen, again *plan.Plan) error {
	if seen.World == again.World {
		return nil
	}
	waited := map[string]bool{}
	for worker := range seen.Workers() {
		if worker.Action == plan.Wait {
			waited[worker.Name] = true
		}
	}
	_, differences := plan.Same(without(seen, waited), without(again, waited))
	return conflict(seen, "nothing was done", append(differences, differently(seen, again)...))
}

// differently says of workers that had to be waited for what nobody saw when the
// plan was shown: another VM that would be destroyed.
func differently(seen, again *plan.Plan) []string {
	waited := map[string]*plan.Worker{}
	for worker := range seen.Workers() {
		if worker.Action == plan.Wait {
			waited[worker.Name] = worker
		}
	}
	var differences []string
	for worker := range again.Workers() {
		if before := waited[worker.Name]; before != nil && worker.Action == plan.Replace && !sawAll(before, worker) {
			differences = append(differences, fmt.Sprintf("%s: it has another VM now than the one that was to be replaced", worker.Name))
		}
	}
	return differences
}

// conflict is the error for a plan that is not the one that was seen; undone says
// what was not done for it.
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

// sawAll reports whether the VM that is to be replaced is the one that the plan
// showed while it had to be waited for, and was a finished one then.
func sawAll(waited, now *plan.Worker) bool {
	return waited.Ref != nil && now.Ref != nil && waited.Ref.UUID == now.Ref.UUID && waited.Record.Replacing == ""
}

// without is a copy of the plan that lacks the named workers; only has no others.
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
