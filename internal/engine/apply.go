package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// How long apply waits for clones that somebody else, or an earlier run, has
// under way, and how often it looks. A full clone of a large template over a
// slow network takes the better part of an hour.
const (
	settlePatience = 90 * time.Minute
	settleEvery    = 3 * time.Second
	settleSeldom   = 20 * time.Second // each look reads every VM of the cluster
)

// Apply carries plans out. It looks at the world again first, and when it
// changed in a way that changes a decision it does nothing and returns a
// fault.Conflict. Failures of single workers are in the results and joined in
// the error; the other workers are done all the same.
func (e *Engine) Apply(ctx context.Context, plans Plans, options ApplyOptions) (Applied, error) {
	options.Progress = oneAtATime(options.Progress)
	results := make([]apply.Result, len(plans))
	var g errgroup.Group // without a context: one hypervisor's trouble does not stop the work on another
	for i, p := range plans {
		g.Go(func() (err error) {
			results[i], err = e.applyOne(ctx, p, options)
			return err
		})
	}
	err := g.Wait()
	applied := Applied{Results: results}
	for _, result := range results {
		for _, outcome := range result.Failed() {
			err = errors.Join(err, outcome.Err)
		}
	}
	return applied, err
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

func (e *Engine) applyOne(ctx context.Context, p *plan.Plan, options ApplyOptions) (apply.Result, error) {
	nothing := apply.Result{Hypervisor: p.Hypervisor}
	remake, err := e.spend(p)
	if err != nil {
		return nothing, err
	}
	if p.Empty() && !waits(p) {
		return nothing, nil
	}
	hypervisor, ok := e.options.Documents.Hypervisor(p.Hypervisor)
	if !ok {
		return nothing, fmt.Errorf("hypervisor %q is not in the documents", p.Hypervisor)
	}
	in, err := e.settled(ctx, hypervisor, options)
	if err != nil {
		return nothing, err
	}
	fresh, err := remake(in)
	if fault.Is(err, fault.NotFound) { // it was there when the plan was made
		err = &fault.Error{Kind: fault.Conflict, Cause: err}
	}
	if err != nil {
		return nothing, err
	}
	if err := unchanged(p, fresh); err != nil {
		return nothing, err
	}
	backend, err := e.backend(ctx, hypervisor)
	if err != nil {
		return nothing, err
	}
	return apply.Run(ctx, backend, fresh, apply.Options{
		By: e.options.By, NewUUID: e.options.NewUUID, Claims: in.Snapshot.Claims, Parallel: options.Parallel, Progress: options.Progress,
	}), nil
}

func waits(p *plan.Plan) bool {
	for worker := range p.Workers() {
		if worker.Action == plan.Wait {
			return true
		}
	}
	return false
}

// settled looks at the hypervisor until the clones that were under way in our
// range of numbers at the first look are done. While they are not, nobody can
// say whose they will be: they have no name. Later ones are none of an earlier
// run of ours.
func (e *Engine) settled(ctx context.Context, hypervisor *v1alpha1.Hypervisor, options ApplyOptions) (plan.Input, error) {
	in, err := e.look(ctx, hypervisor, false)
	if err != nil {
		return plan.Input{}, err
	}
	flying := inFlight(in.Snapshot, hypervisor.Spec.Proxmox.VMIDs)
	began, every := time.Now(), settleEvery
	for first := true; len(flying) > 0 && time.Since(began) < settlePatience; first = false {
		if first {
			options.Progress(apply.Event{
				Worker: "(clones)", Step: plan.StepClone, Phase: apply.Working, Time: time.Now(),
				Detail: fmt.Sprintf("waiting for clones of an earlier run or another engine: VM %v", flying),
			})
		}
		select {
		case <-ctx.Done():
			return plan.Input{}, &fault.Error{
				Kind: fault.Interrupted, Doing: "wait for clones under way", Cause: ctx.Err(),
				Fix: "they go on by themselves; run the same command again later",
			}
		case <-time.After(every):
		}
		every = min(every*3/2, settleSeldom)
		if in, err = e.look(ctx, hypervisor, false); err != nil {
			return plan.Input{}, err
		}
		still := inFlight(in.Snapshot, hypervisor.Spec.Proxmox.VMIDs)
		flying = slices.DeleteFunc(flying, func(vmid int) bool { return !slices.Contains(still, vmid) })
	}
	return in, nil
}

// inFlight are the numbers of our range under which a clone is being made.
func inFlight(s *inventory.Snapshot, numbers v1alpha1.VMIDRange) []int {
	var flying []int
	for _, vm := range s.VMs {
		if vm.Lock == "clone" && !vm.StuckClone && vm.VMID >= numbers.First && vm.VMID <= numbers.Last {
			flying = append(flying, vm.VMID)
		}
	}
	return flying
}

// unchanged compares the plan that a person saw with one made just now. Workers
// that had to be waited for are expected to differ.
func unchanged(seen, fresh *plan.Plan) error {
	if seen.World == fresh.World {
		return nil
	}
	waited := map[string]*plan.Worker{}
	for worker := range seen.Workers() {
		if worker.Action == plan.Wait {
			waited[worker.Name] = worker
		}
	}
	names := slices.Collect(maps.Keys(waited))
	_, differences := plan.Same(without(seen, names), without(fresh, names))
	for worker := range fresh.Workers() {
		if before := waited[worker.Name]; before != nil && worker.Action == plan.Replace && !sawAll(before, worker) {
			differences = append(differences, fmt.Sprintf("%s: it has another VM now than the one that was to be replaced", worker.Name))
		}
	}
	if len(differences) == 0 {
		return nil
	}
	return &fault.Error{
		Kind: fault.Conflict, Doing: "apply the plan", Where: fault.Place{Hypervisor: seen.Hypervisor},
		Why: "the world changed since the plan was made, nothing was done: " + strings.Join(differences, "; "),
		Fix: "look at the new plan and apply that",
	}
}

// sawAll reports whether the VM that is to be replaced is the one that the plan
// showed while it had to be waited for, and was a finished one then.
func sawAll(waited, now *plan.Worker) bool {
	return waited.Ref != nil && now.Ref != nil && waited.Ref.UUID == now.Ref.UUID && waited.Record.Replacing == ""
}

// without is a copy of the plan that lacks the named workers.
func without(p *plan.Plan, names []string) *plan.Plan {
	rest := *p
	rest.Pools = slices.Clone(p.Pools)
	for i := range rest.Pools {
		rest.Pools[i].Workers = slices.DeleteFunc(slices.Clone(rest.Pools[i].Workers), func(w plan.Worker) bool {
			return slices.Contains(names, w.Name)
		})
	}
	return &rest
}
