package vm

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	shared "github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// Resource is the resource gpuworker_vm.
type Resource struct{ session.Resource }

// NewResource makes the resource.
func NewResource() resource.Resource { return &Resource{} }

var (
	_ resource.ResourceWithConfigure      = &Resource{}
	_ resource.ResourceWithIdentity       = &Resource{}
	_ resource.ResourceWithImportState    = &Resource{}
	_ resource.ResourceWithModifyPlan     = &Resource{}
	_ resource.ResourceWithValidateConfig = &Resource{}
)

// typeName is the name of the resource in Terraform.
const typeName = "gpuworker_vm"

// Metadata implements resource.Resource.
func (r *Resource) Metadata(_ context.Context, _ resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = typeName
	response.ResourceBehavior.MutableIdentity = false
}

// Read implements resource.Resource.
func (r *Resource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	s, hypervisor := r.Session()
	if s == nil {
		return
	}
	w, err := workerOf(request.State.Raw)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The state of the worker cannot be read", err, attributeOf)
		return
	}
	if w.uuid == "" {
		r.readUnproven(ctx, s, w, response)
	} else {
		r.read(ctx, s, w, response)
	}
	if !response.Diagnostics.HasError() { // also for a worker that is gone: Terraform before 1.12 keeps no identity
		response.Diagnostics.Append(response.Identity.Set(ctx, w.identity(hypervisor))...)
	}
}

// read refreshes the state of a worker that the state has proven before.
func (r *Resource) read(ctx context.Context, s *engine.Session, w *worker, response *resource.ReadResponse) {
	seen, decision, err := w.decide(ctx, s)
	hidden := ""
	if err == nil {
		hidden = decision.Hidden(w.name, w.Text("vm_id"))
	}
	switch {
	case err != nil:
		diags.AddError(&response.Diagnostics, "Worker "+w.name+" cannot be observed", err, attributeOf)
	case seen.VM != nil:
		if seen.Ref.UUID != w.uuid {
			response.Diagnostics.AddWarning("Worker "+w.name+" is another VM now",
				"The state has VM "+w.uuid+", the worker is VM "+seen.Ref.UUID+" now: the VM was replaced outside of Terraform.")
		}
		addresses, err := s.Addresses(ctx, *seen.Ref)
		if err != nil || addresses == nil {
			addresses = w.addresses // the guest agent does not answer: keep the last ones
		}
		response.State.Raw = w.with(values{Values: shared.Observed(seen, addresses), reason: w.Text("reason"), drift: shared.Drift(seen.Changes)})
		r.Shared.Remember(typeName+" "+w.id(), session.Entry{Name: w.name, UUID: seen.Ref.UUID})
	case hidden != "": // the state stays as it is
		response.Diagnostics.AddWarning("Worker "+w.name+" cannot be observed now", diags.Detail(hidden, ""))
	default:
		response.State.RemoveResource(ctx)
		r.Shared.Forget(typeName + " " + w.id())
	}
}

// Create implements resource.Resource. An error leaves no state: with a state, Terraform
// would taint the resource, and destroy the VM at the next apply.
func (r *Resource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	limit := shared.LimitOf(ctx, request.Plan.GetAttribute, timeouts.Value.Create, &response.Diagnostics)
	raw, w := r.work(ctx, request.Plan.Raw, limit, &response.Diagnostics)
	if w == nil {
		return
	}
	_, hypervisor := r.Session()
	response.State.Raw = raw
	response.Diagnostics.Append(response.Identity.Set(ctx, w.identity(hypervisor))...)
}

// Update implements resource.Resource.
func (r *Resource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	limit := shared.LimitOf(ctx, request.Plan.GetAttribute, timeouts.Value.Update, &response.Diagnostics)
	raw, w := r.work(ctx, request.Plan.Raw, limit, &response.Diagnostics)
	if w == nil {
		return // the prior state stays; the next refresh sees what was done
	}
	_, hypervisor := r.Session()
	response.State.Raw = raw
	response.Diagnostics.Append(response.Identity.Set(ctx, w.identity(hypervisor))...)
}

// work makes the worker as planned and returns its new state; w is nil after an error.
func (r *Resource) work(ctx context.Context, planned tftypes.Value, limit time.Duration, diagnostics *diag.Diagnostics) (raw tftypes.Value, w *worker) {
	s, _ := r.Session()
	w, err := workerOf(planned)
	if err == nil && s == nil {
		err = errNotConfigured
	}
	if err != nil || diagnostics.HasError() {
		if err != nil {
			diags.AddError(diagnostics, "The plan of the worker cannot be read", err, attributeOf)
		}
		return raw, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	decision, outcomes, err := s.Apply(ctx, w.document(), w.allowRestart, func(d engine.Decision) error { return w.accept(d) })
	if err != nil {
		diags.AddError(diagnostics, "Worker "+w.name+" was not made as planned", err, attributeOf)
		return raw, nil
	}
	seen := w.of(decision)
	if seen == nil {
		diags.AddError(diagnostics, "Worker "+w.name+" was not made as planned", errNotDecided, attributeOf)
		return raw, nil
	}
	return w.with(made(ctx, s, w, seen, shared.OutcomeOf(outcomes, w.name), diagnostics)), w
}

// made are the computed values after the work: those of the plan, and those that are known
// only now.
func made(ctx context.Context, s *engine.Session, w *worker, seen *engine.Decided, outcome *apply.Outcome, diagnostics *diag.Diagnostics) values {
	after := values{Values: shared.ValuesOf(w.Object), reason: w.Text("reason"), drift: shared.Remaining(seen)}
	after.Fill(seen, outcome, func() []string {
		addresses, _ := s.Addresses(ctx, *seen.Ref) // without an answer they stay empty until the next refresh
		return addresses
	})
	if !w.Attributes["reason"].IsKnown() {
		after.reason = seen.Reason
	}
	if outcome == nil {
		return after
	}
	for _, warning := range outcome.Warnings {
		diagnostics.AddWarning("Worker "+seen.Name+" runs, with a warning", diags.Detail(warning, ""))
	}
	return after
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	limit := shared.LimitOf(ctx, request.State.GetAttribute, timeouts.Value.Delete, &response.Diagnostics)
	s, _ := r.Session()
	w, err := workerOf(request.State.Raw)
	if err == nil && s == nil {
		err = errNotConfigured
	}
	if err == nil {
		err = w.mayBeDestroyed(w.uuid)
	}
	if err != nil {
		diags.AddError(&response.Diagnostics, "Worker "+w.nameOrEmpty()+" is not destroyed", err, attributeOf)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	key := s.Declare(w.document())
	_, err = s.Work(ctx, plan.Request{Verb: plan.DeleteWorkers, Workers: []string{w.name}}, w.acceptDelete)
	if err != nil {
		diags.AddError(&response.Diagnostics, "Worker "+w.name+" was not destroyed", err, attributeOf)
		return
	}
	s.Forget(key)
	r.Shared.Forget(typeName + " " + w.id())
}

// ImportState implements resource.ResourceWithImportState.
func (r *Resource) ImportState(_ context.Context, _ resource.ImportStateRequest, response *resource.ImportStateResponse) {
	response.Diagnostics.AddError("Not implemented", "Import is not implemented yet.")
}

// readUnproven refreshes a worker that was imported.
func (r *Resource) readUnproven(context.Context, *engine.Session, *worker, *resource.ReadResponse) {}
