package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// job is the work on one pool.
type job struct {
	*pool      // as planned
	was        *pool
	session    *engine.Session
	hypervisor string
	to         *diag.Diagnostics

	after tftypes.Value // the new state
}

// job prepares the work; nil after an error.
func (r *Resource) job(planned tftypes.Value, was *pool, to *diag.Diagnostics) *job {
	s, hypervisor := r.Session()
	p, err := poolOf(planned)
	if err == nil && s == nil {
		err = session.ErrNotConfigured
	}
	if err != nil {
		diags.AddError(to, "The plan of the pool cannot be read", err, attributeOf)
	}
	if to.HasError() {
		return nil
	}
	return &job{pool: p, was: was, session: s, hypervisor: hypervisor, to: to}
}

// do makes the pool as planned, and reports whether it is. Workers that are no longer
// declared are deleted last.
func (j *job) do(ctx context.Context, limit worker.Limit) bool {
	ctx, end := limit.Begin(ctx)
	defer end()
	decision, outcomes, err := j.session.Apply(ctx, j.document(), j.allowRestart, j.accept, engine.ApplyOptions{AddressWait: j.AddressWait(), GuestWait: j.GuestWait()})
	if err == nil {
		err = j.delete(ctx, &decision)
	}
	if err = limit.Explain(ctx, err); err != nil {
		diags.AddError(j.to, "Pool "+j.name+" is not as planned", err, attributeOf)
		j.sayMade(outcomes)
		return false
	}
	j.after = j.result(ctx, &decision, outcomes)
	return true
}

// accept refuses a decision that is not the one that the plan has shown.
func (j *job) accept(d engine.Decision) error {
	var errs []error
	there := map[string]bool{}
	for seen := range firstOfEach(&d) {
		there[seen.Name] = true
		errs = append(errs, j.acceptWorker(seen, d.Hypervisor))
	}
	for _, name := range inOrder(j.workers) {
		if !there[name] {
			errs = append(errs, worker.Changed(fault.Place{Hypervisor: d.Hypervisor, Worker: name}, "the worker of the plan is not there any more"))
		}
	}
	return errors.Join(errs...)
}

func (j *job) acceptWorker(seen *engine.Decided, hypervisor string) error {
	where := fault.Place{Hypervisor: hypervisor, Worker: seen.Name}
	values, planned := j.workers[seen.Name]
	if j.workers == nil {
		values, planned = worker.AllUnknown(), true
	}
	switch {
	case seen.Undeclared && seen.VM == nil: // only a claim, which stays
		return nil
	case seen.Undeclared && j.ends(seen):
		if planned || !j.was.isOurs(seen) {
			return worker.Changed(where, fmt.Sprintf("VM %s would be destroyed, which the plan did not show", seen.Ref.UUID))
		}
		return nil
	case !planned:
		return worker.Changed(where, "the plan did not show this worker")
	}
	shown := worker.Shown{Values: values, Drift: j.driftOf(seen.Name)}
	if seen.Undeclared {
		shown.Drift = append(shown.Drift, worker.Remaining(seen)...) // it stays as it is
	}
	if j.was != nil {
		shown.Replaces = j.was.workers[seen.Name].UUID
	}
	return shown.Accept(seen, hypervisor)
}

// ends reports whether a VM that is no longer declared is destroyed.
func (j *job) ends(seen *engine.Decided) bool {
	return seen.VM != nil && seen.Undeclared && (seen.Action == plan.Destroy || j.was.mayDelete(seen))
}

// delete deletes the workers that are no longer declared and that a person has named.
func (j *job) delete(ctx context.Context, d *engine.Decision) error {
	var names []string
	for seen := range firstOfEach(d) {
		if j.was.mayDelete(seen) {
			names = append(names, seen.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, err := j.session.Work(ctx, plan.Request{Verb: plan.DeleteWorkers, Workers: names}, j.was.acceptDelete, nil)
	return err
}

// sayMade says what stays of a pool that could not be made.
func (j *job) sayMade(outcomes []apply.Outcome) {
	var names []string
	for _, outcome := range outcomes {
		if outcome.Err == nil && outcome.Action == plan.Create {
			names = append(names, outcome.Worker)
		}
	}
	if j.was == nil && len(names) > 0 {
		j.to.AddWarning("Pool "+j.name+" is not in the state", diags.Detail(fmt.Sprintf("%s made: %s", term.Count(len(names), "worker"), strings.Join(names, ", ")),
			"apply again: it finds the VMs, proves that they are the workers, and makes only what is missing"))
	}
}

// result is the new state: the values of the plan, and those that are known only now.
func (j *job) result(ctx context.Context, d *engine.Decision, outcomes []apply.Outcome) tftypes.Value {
	workers, drift := map[string]worker.Values{}, []string{}
	for seen := range firstOfEach(d) {
		outcome := worker.OutcomeOf(outcomes, seen.Name)
		switch {
		case j.ends(seen):
			continue // it is gone
		case !seen.Undeclared || seen.VM != nil:
			values, planned := j.workers[seen.Name]
			if !planned {
				values = worker.AllUnknown()
			}
			values.Fill(seen, outcome, func() []string { return j.addresses(ctx, seen) })
			workers[seen.Name] = values
		}
		drift = append(drift, differences(seen, true)...)
		if outcome != nil {
			for _, warning := range outcome.Warnings {
				j.to.AddWarning("Worker "+seen.Name+" runs, with a warning", diags.Detail(warning.Text, warning.Fix))
			}
		}
	}
	return j.with(workers, drift)
}

// addresses asks the guest agent; without an answer there are none until the next refresh.
func (j *job) addresses(ctx context.Context, seen *engine.Decided) []string {
	if seen.Ref == nil {
		return nil
	}
	addresses, _ := j.session.Addresses(ctx, *seen.Ref)
	return addresses
}
