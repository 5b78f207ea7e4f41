package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

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

// ReplaceOptions say which workers are to be replaced; see plan.Replacement.
type ReplaceOptions struct {
	Names []string
	// VMs are the UUIDs of the VMs that are to go, one for each name; may be nil.
	VMs []string
	// KeepRecent leaves alone what a replace made in the last hour.
	KeepRecent bool
}

// PlanReplace says what would be done to destroy the named workers and make
// them anew. No other worker is touched.
func (e *Engine) PlanReplace(ctx context.Context, options ReplaceOptions) (Plans, error) {
	replacement := &plan.Replacement{Names: options.Names, VMs: options.VMs, Now: time.Now().UTC().Format(time.RFC3339), KeepRecent: options.KeepRecent}
	return e.planNamed(ctx, func(in plan.Input) (*plan.Plan, error) {
		in.Replace = replacement
		return plan.BuildReplace(in)
	})
}

// PlanDelete says what would be done to destroy the named workers and give
// their cards back. It takes orphans too.
func (e *Engine) PlanDelete(ctx context.Context, names []string) (Plans, error) {
	return e.planNamed(ctx, func(in plan.Input) (*plan.Plan, error) { return plan.BuildDelete(in, names) })
}

// PlanPark says what would be done to stop the named workers and keep their
// cards.
func (e *Engine) PlanPark(ctx context.Context, names []string) (Plans, error) {
	return e.planNamed(ctx, func(in plan.Input) (*plan.Plan, error) { return plan.BuildPark(in, names) })
}

// PlanUnpark says what would be done to start the named parked workers.
func (e *Engine) PlanUnpark(ctx context.Context, names []string) (Plans, error) {
	return e.planNamed(ctx, func(in plan.Input) (*plan.Plan, error) { return plan.BuildUnpark(in, names) })
}

// PlanAdopt says what would be done to take an existing VM over as a worker.
func (e *Engine) PlanAdopt(ctx context.Context, vm, worker string) (Plans, error) {
	e.mu.Lock()
	e.named = append(e.named, vm)
	e.mu.Unlock()
	return e.planAdopt(ctx, func(in plan.Input) (*plan.Plan, error) { return plan.BuildAdopt(in, vm, worker) })
}

// planAdopt makes the plan of the hypervisor that has both the VM and the pool.
func (e *Engine) planAdopt(ctx context.Context, make maker) (Plans, error) {
	inputs, err := e.lookAll(ctx, false)
	if err != nil {
		return nil, err
	}
	var missing error
	for _, in := range inputs {
		p, err := make(in)
		switch {
		case err == nil:
			return Plans{e.remember(p, make)}, nil
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
		missing = err
	}
	return nil, missing
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
// it. Names that no hypervisor knows are said in the first plan.
func (e *Engine) planNamed(ctx context.Context, make maker) (Plans, error) {
	plans, err := e.plan(ctx, make)
	if err != nil {
		return nil, err
	}
	if err := oneOfEachName(plans); err != nil {
		return nil, err
	}
	absent := plans[0].Absent
	for _, p := range plans[1:] {
		absent = slices.DeleteFunc(absent, func(a plan.Absent) bool {
			return !slices.ContainsFunc(p.Absent, func(other plan.Absent) bool { return other.Name == a.Name })
		})
		p.Absent = nil
	}
	plans[0].Absent = nil
	concerned := slices.DeleteFunc(slices.Clone(plans), func(p *plan.Plan) bool { return len(p.Pools) == 0 })
	if len(concerned) == 0 {
		concerned = plans[:1]
	}
	concerned[0].Absent = absent
	return concerned, nil
}

// oneOfEachName is the error for a name of which several hypervisors have a
// worker, so that nobody knows which one a person means.
func oneOfEachName(plans Plans) error {
	where := map[string]string{}
	for _, p := range plans {
		for w := range p.Workers() {
			first, known := where[w.Name]
			if known && first != p.Hypervisor {
				return &fault.Error{
					Kind: fault.Invalid, Where: fault.Place{Worker: w.Name},
					Why: fmt.Sprintf("hypervisors %s and %s have a worker of this name each, and no pool of the documents says which one is meant", first, p.Hypervisor),
					Fix: "give documents that have the Hypervisor of the one that is meant, and not the other",
				}
			}
			where[w.Name] = p.Hypervisor
		}
	}
	return nil
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
