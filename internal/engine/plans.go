package engine

import (
	"context"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Plan says what would be done to bring the world to the documents.
func (e *Engine) Plan(ctx context.Context, options PlanOptions) (Plans, error) {
	return e.plan(ctx, func(in plan.Input) (*plan.Plan, error) {
		in.AllowRestart, in.AllOrNothing = options.AllowRestart, options.AllOrNothing
		return plan.Build(in), nil
	})
}

// PlanReplace says what would be done to destroy the named workers and make
// them anew. No other worker is touched.
func (e *Engine) PlanReplace(ctx context.Context, names []string, options PlanOptions) (Plans, error) {
	return e.planNamed(ctx, names, func(in plan.Input, names []string) (*plan.Plan, error) {
		in.AllowRestart, in.Replace = options.AllowRestart, names
		return only(plan.Build(in), names)
	})
}

// PlanDelete says what would be done to destroy the named workers and give
// their cards back. It takes orphans too.
func (e *Engine) PlanDelete(ctx context.Context, names []string) (Plans, error) {
	return e.planNamed(ctx, names, plan.BuildDelete)
}

// PlanPark says what would be done to stop the named workers and keep their
// cards.
func (e *Engine) PlanPark(ctx context.Context, names []string) (Plans, error) {
	return e.planNamed(ctx, names, plan.BuildPark)
}

// PlanUnpark says what would be done to start the named parked workers.
func (e *Engine) PlanUnpark(ctx context.Context, names []string) (Plans, error) {
	return e.planNamed(ctx, names, plan.BuildUnpark)
}

// PlanAdopt says what would be done to take an existing VM over as a worker.
func (e *Engine) PlanAdopt(ctx context.Context, vmid int, worker string) (Plans, error) {
	e.mu.Lock()
	e.named = append(e.named, vmid)
	e.mu.Unlock()
	return e.planNamed(ctx, []string{worker}, func(in plan.Input, _ []string) (*plan.Plan, error) {
		return plan.BuildAdopt(in, vmid, worker)
	})
}

// PlanOrphans lists what is ours and nothing declares; applying it gives back
// claims that have no VM, and nothing else.
func (e *Engine) PlanOrphans(ctx context.Context) (Plans, error) {
	return e.plan(ctx, func(in plan.Input) (*plan.Plan, error) { return plan.BuildOrphans(in), nil })
}

// plan looks at every hypervisor and makes its plan.
func (e *Engine) plan(ctx context.Context, make maker) (Plans, error) {
	inputs, err := e.lookAll(ctx, false)
	if err != nil {
		return nil, err
	}
	var plans Plans
	for _, in := range inputs {
		p, err := make(in)
		if err != nil {
			return nil, err
		}
		plans = append(plans, e.remember(p, make))
	}
	return plans, nil
}

// planNamed makes plans for workers by name: each on the hypervisor that knows
// it. A name that no hypervisor knows is an error.
func (e *Engine) planNamed(ctx context.Context, names []string, make func(plan.Input, []string) (*plan.Plan, error)) (Plans, error) {
	inputs, err := e.lookAll(ctx, false)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	unknown := map[string]error{}
	var plans Plans
	for _, in := range inputs {
		var here []string
		for _, name := range names {
			_, err := make(in, []string{name})
			switch {
			case err == nil:
				here = append(here, name)
				known[name] = true
			case fault.Is(err, fault.NotFound):
				unknown[name] = err
			default:
				return nil, err
			}
		}
		if len(here) == 0 {
			continue
		}
		again := func(in plan.Input) (*plan.Plan, error) { return make(in, here) }
		p, err := again(in)
		if err != nil {
			return nil, err
		}
		plans = append(plans, e.remember(p, again))
	}
	for _, name := range names {
		if !known[name] {
			return nil, unknown[name]
		}
	}
	return plans, nil
}

func (e *Engine) remember(p *plan.Plan, make maker) *plan.Plan {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.makers[p] = make
	return p
}

// spend takes a plan's maker; a plan can be spent once.
func (e *Engine) spend(p *plan.Plan) (maker, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	make := e.makers[p]
	if make == nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: "apply the plan", Why: "it was applied before; a plan is good for one apply"}
	}
	delete(e.makers, p)
	return make, nil
}

// only keeps the named workers of a plan.
func only(p *plan.Plan, names []string) (*plan.Plan, error) {
	found := 0
	p.Pools = slices.DeleteFunc(p.Pools, func(pool plan.Pool) bool {
		return !slices.ContainsFunc(pool.Workers, func(w plan.Worker) bool { return slices.Contains(names, w.Name) })
	})
	for i := range p.Pools {
		p.Pools[i].Workers = slices.DeleteFunc(p.Pools[i].Workers, func(w plan.Worker) bool { return !slices.Contains(names, w.Name) })
		found += len(p.Pools[i].Workers)
	}
	if found < len(names) {
		return nil, &fault.Error{
			Kind: fault.NotFound, Doing: "find the worker", Where: fault.Place{Hypervisor: p.Hypervisor, Worker: names[0]},
			Why: "no such worker is declared or there", Fix: "gpuworker status lists the workers",
		}
	}
	return p, nil
}
