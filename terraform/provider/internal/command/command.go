// Package command has the actions: gpuworker_park, gpuworker_unpark and gpuworker_replace
// do what the commands of the same names do.
package command

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
)

// Command is one action.
type Command struct {
	name        string
	verb        plan.Verb
	description string
	shared      *session.Shared
}

var (
	_ action.ActionWithConfigure      = &Command{}
	_ action.ActionWithValidateConfig = &Command{}
	_ action.ActionWithModifyPlan     = &Command{}
)

// NewPark makes the action gpuworker_park.
func NewPark() action.Action {
	return &Command{name: "park", verb: plan.ParkWorkers, description: "Shuts a worker down and keeps its VM, disks and card. Apply leaves it stopped."}
}

// NewUnpark makes the action gpuworker_unpark.
func NewUnpark() action.Action {
	return &Command{name: "unpark", verb: plan.UnparkWorkers, description: "Starts a parked worker again."}
}

// NewReplace makes the action gpuworker_replace.
func NewReplace() action.Action {
	return &Command{
		name: "replace", verb: plan.ReplaceWorkers,
		description: "Destroys the VM of a worker and makes it again from its template, with the same card. The disks of the old VM are lost. " +
			"It is safe to repeat: if the VM with `uuid` is gone, nothing is destroyed.",
	}
}

// Metadata implements action.Action.
func (c *Command) Metadata(_ context.Context, _ action.MetadataRequest, response *action.MetadataResponse) {
	response.TypeName = "gpuworker_" + c.name
}

// Schema implements action.Action.
func (c *Command) Schema(_ context.Context, _ action.SchemaRequest, response *action.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"worker": schema.StringAttribute{Required: true, MarkdownDescription: "Name of the worker."},
	}
	if c.verb == plan.ReplaceWorkers {
		attributes["uuid"] = schema.StringAttribute{Required: true, MarkdownDescription: "UUID of the VM to destroy."}
	}
	response.Schema = schema.Schema{MarkdownDescription: c.description, Attributes: attributes}
}

// Configure implements action.ActionWithConfigure.
func (c *Command) Configure(_ context.Context, request action.ConfigureRequest, response *action.ConfigureResponse) {
	c.shared = session.From(request.ProviderData, &response.Diagnostics)
}

// ValidateConfig implements action.ActionWithValidateConfig: a word that is no UUID would
// only be found when the action runs.
func (c *Command) ValidateConfig(ctx context.Context, request action.ValidateConfigRequest, response *action.ValidateConfigResponse) {
	c.checkUUID(ctx, request.Config, &response.Diagnostics)
}

// ModifyPlan implements action.ActionWithModifyPlan: now the values of variables are known.
func (c *Command) ModifyPlan(ctx context.Context, request action.ModifyPlanRequest, response *action.ModifyPlanResponse) {
	c.checkUUID(ctx, request.Config, &response.Diagnostics)
}

func (c *Command) checkUUID(ctx context.Context, config tfsdk.Config, diagnostics *diag.Diagnostics) {
	if c.verb != plan.ReplaceWorkers {
		return
	}
	var uuid types.String
	at := path.Root("uuid")
	diagnostics.Append(config.GetAttribute(ctx, at, &uuid)...)
	if diagnostics.HasError() || uuid.IsUnknown() || uuid.IsNull() || plan.IsUUID(uuid.ValueString()) {
		return
	}
	diagnostics.AddAttributeError(at, "The configuration is not valid",
		diags.Detail(fmt.Sprintf("uuid: %q is not a UUID", uuid.ValueString()), "terraform state show prints the attribute uuid of the worker; gpuworker status -o json too"))
}

// Invoke implements action.Action.
func (c *Command) Invoke(ctx context.Context, request action.InvokeRequest, response *action.InvokeResponse) {
	var worker, uuid types.String
	response.Diagnostics.Append(request.Config.GetAttribute(ctx, path.Root("worker"), &worker)...)
	if c.verb == plan.ReplaceWorkers {
		response.Diagnostics.Append(request.Config.GetAttribute(ctx, path.Root("uuid"), &uuid)...)
	}
	if response.Diagnostics.HasError() {
		return
	}
	say := func(text string) {
		response.SendProgress(action.InvokeProgressEvent{Message: diags.Detail(worker.ValueString()+": "+text, "")})
	}
	if err := c.do(ctx, worker.ValueString(), uuid.ValueString(), say); err != nil {
		diags.AddError(&response.Diagnostics, fmt.Sprintf("Worker %s: %s failed", worker.ValueString(), c.name), err, diags.Nowhere)
	}
}

// progress describes an event.
func progress(e apply.Event) string {
	text := fmt.Sprintf("%s %s", e.Step, e.Phase)
	switch {
	case e.Phase == apply.Working:
		text = fmt.Sprintf("%s waits for %s", e.Step, e.Detail)
	case e.Detail != "":
		text += ": " + e.Detail
	}
	return text
}

func (c *Command) do(ctx context.Context, worker, uuid string, say func(string)) error {
	s, _ := c.shared.Session()
	if s == nil {
		return session.ErrNotConfigured
	}
	request := plan.Request{Verb: c.verb, Workers: []string{worker}}
	pool, _, err := s.Existing(ctx, worker, func(vm *inventory.VM) bool { return vm.Name == worker })
	switch {
	case err == nil:
		s.DeclareExisting(pool)
	case c.verb != plan.ReplaceWorkers || !fault.Is(err, fault.NotFound):
		return err
	}
	if uuid != "" {
		request.UUIDs = []string{uuid}
	}
	accepted := func(plans engine.Plans) error { return accept(plans, worker, say) }
	_, err = s.Work(ctx, request, accepted, func(e apply.Event) { say(progress(e)) })
	return err
}

// accept refuses plans that do not work on the worker, and says why nothing is to be done.
func accept(plans engine.Plans, worker string, say func(string)) error {
	for _, p := range plans.Plans {
		for _, absent := range p.Absent {
			return &fault.Error{Kind: fault.NotFound, Where: fault.Place{Hypervisor: p.Hypervisor, Worker: worker}, Why: absent.Why, Fix: "gpuworker status lists the workers"}
		}
		where := fault.Place{Hypervisor: p.Hypervisor, Worker: worker}
		for w := range p.Workers() {
			switch {
			case w.Action == plan.Refuse:
				return &fault.Error{Kind: fault.Refused, Where: where, Why: diags.Finding(w.Refusals[0])}
			case w.Action == plan.Hold:
				return &fault.Error{Kind: fault.Busy, Where: where, Why: w.Reason, Fix: w.Hint}
			case w.Action == plan.Keep:
				say("nothing is to be done: " + w.Reason)
			}
		}
	}
	return nil
}
