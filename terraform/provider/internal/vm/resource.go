package vm

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
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
	w, err := vmOf(request.State.Raw)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The state of the worker cannot be read", err, attributeOf)
		return
	}
	limit := worker.LimitOf(ctx, request.State.GetAttribute, worker.Read, &response.Diagnostics)
	limited, end := limit.Begin(ctx)
	defer end()
	if w.uuid == "" {
		r.prove(limited, limit, s, w, response)
	} else {
		r.read(limited, limit, s, w, response)
	}
	if !response.Diagnostics.HasError() {
		response.Diagnostics.Append(response.Identity.Set(ctx, w.identity(hypervisor))...)
	}
}

// read refreshes the state of a worker that the state has proven before.
func (r *Resource) read(ctx context.Context, limit worker.Limit, s *engine.Session, w *vm, response *resource.ReadResponse) {
	seen, _, err := w.decide(ctx, s)
	switch {
	case err != nil:
		diags.AddError(&response.Diagnostics, "Worker "+w.name+" cannot be observed", limit.Explain(ctx, err), attributeOf)
	case seen.VM != nil:
		if seen.Ref.UUID != w.uuid {
			response.Diagnostics.AddWarning("Worker "+w.name+" is another VM now", diags.Detail(
				"the state has VM "+w.uuid+", the worker is VM "+seen.Ref.UUID+" now: it was replaced by the command line, the action gpuworker_replace, or Terraform with another state",
				"nothing is to be done: the state gets the new UUID; allow_destroy_uuid with the old one allows nothing any more"))
		}
		addresses, err := s.Addresses(ctx, *seen.Ref)
		if err != nil || addresses == nil {
			addresses = w.addresses // the guest agent does not answer: keep the last ones
		}
		v := observed(seen, addresses)
		v.reason, v.origin = w.Text("reason"), cmp.Or(w.Text("origin"), originTaken)
		response.State.Raw = w.with(v)
		r.Shared.Remember(typeName+" "+w.id(), session.Entry{Name: w.name, UUID: seen.Ref.UUID})
	case seen.Action == plan.Create: // the engine is sure that there is none
		response.State.RemoveResource(ctx)
		r.Shared.Forget(typeName + " " + w.id())
	default:
		response.Diagnostics.AddWarning("Worker "+w.name+" cannot be observed now", diags.Detail("it stays in the state: "+why(seen), ""))
	}
}

// Create implements resource.Resource. An error leaves no state: with a state, Terraform
// would taint the resource, and destroy the VM at the next apply.
func (r *Resource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	limit := worker.LimitOf(ctx, request.Plan.GetAttribute, worker.Create, &response.Diagnostics)
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
	limit := worker.LimitOf(ctx, request.Plan.GetAttribute, worker.Update, &response.Diagnostics)
	raw, w := r.work(ctx, request.Plan.Raw, limit, &response.Diagnostics)
	if w == nil {
		return
	}
	_, hypervisor := r.Session()
	response.State.Raw = raw
	response.Diagnostics.Append(response.Identity.Set(ctx, w.identity(hypervisor))...)
}

// work makes the worker as planned and returns its new state; w is nil after an error.
func (r *Resource) work(ctx context.Context, planned tftypes.Value, limit worker.Limit, diagnostics *diag.Diagnostics) (raw tftypes.Value, w *vm) {
	s, _ := r.Session()
	w, err := vmOf(planned)
	if err == nil && s == nil {
		err = session.ErrNotConfigured
	}
	if err != nil || diagnostics.HasError() {
		if err != nil {
			diags.AddError(diagnostics, "The plan of the worker cannot be read", err, attributeOf)
		}
		return raw, nil
	}
	ctx, end := limit.Begin(ctx)
	defer end()
	decision, outcomes, err := s.Apply(ctx, w.document(), w.allowRestart, w.accept, engine.ApplyOptions{AddressWait: w.AddressWait(), GuestWait: w.GuestWait()})
	if err = limit.Explain(ctx, err); err != nil {
		diags.AddError(diagnostics, "Worker "+w.name+" was not made as planned", err, attributeOf)
		return raw, nil
	}
	seen := w.of(decision)
	if seen == nil {
		diags.AddError(diagnostics, "Worker "+w.name+" was not made as planned", errNotDecided, attributeOf)
		return raw, nil
	}
	return w.fill(r.made(ctx, s, seen, outcomes, diagnostics)), w
}

// made are the computed values after the work.
func (r *Resource) made(ctx context.Context, s *engine.Session, seen *engine.Decided, outcomes []apply.Outcome, diagnostics *diag.Diagnostics) values {
	after := observed(seen, nil)
	after.drift = worker.Remaining(seen)
	for _, outcome := range outcomes {
		after.VM, after.UUID, after.Addresses = outcome.VM, outcome.UUID, outcome.Addresses
		if slices.Contains(seen.Steps, plan.StepAttach) {
			after.attachment = r.attachment(ctx, s, inventory.VMRef{Host: outcome.Host, ID: outcome.VM, UUID: outcome.UUID, Name: seen.Name}, diagnostics)
		}
		for _, warning := range outcome.Warnings {
			diagnostics.AddWarning("Worker "+seen.Name+" runs, with a warning", diags.Detail(warning.Text, warning.Fix))
		}
	}
	if after.State != worker.Parked {
		after.State = worker.Running
	}
	if len(after.Addresses) == 0 && seen.Ref != nil {
		after.Addresses, _ = s.Addresses(ctx, *seen.Ref)
	}
	return after
}

// attachment reads how the card is written in the configuration of the VM. The VM is made:
// if it cannot be read now, that is a warning, and the next refresh reads it.
func (r *Resource) attachment(ctx context.Context, s *engine.Session, ref inventory.VMRef, diagnostics *diag.Diagnostics) string {
	written, err := s.Attachment(ctx, ref)
	if err != nil {
		diagnostics.AddWarning("The attachment of worker "+ref.Name+" is not known now", diags.Detail(err.Error(), "the next plan reads it again"))
	}
	return written
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	limit := worker.LimitOf(ctx, request.State.GetAttribute, worker.Delete, &response.Diagnostics)
	s, _ := r.Session()
	w, err := vmOf(request.State.Raw)
	if err == nil && s == nil {
		err = session.ErrNotConfigured
	}
	if err == nil {
		err = w.mayBeDestroyed(w.uuid)
	}
	if err != nil {
		diags.AddError(&response.Diagnostics, "Worker "+w.nameOrEmpty()+" is not destroyed", err, attributeOf)
		return
	}
	ctx, end := limit.Begin(ctx)
	defer end()
	key := s.Declare(w.document())
	_, err = s.Work(ctx, plan.Request{Verb: plan.DeleteWorkers, Workers: []string{w.name}}, w.acceptDelete, nil)
	if err = limit.Explain(ctx, err); err != nil {
		diags.AddError(&response.Diagnostics, "Worker "+w.name+" was not destroyed", err, attributeOf)
		return
	}
	s.Forget(key)
	r.Shared.Forget(typeName + " " + w.id())
}
