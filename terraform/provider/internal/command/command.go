// Package command has the actions: gpuworker_park, gpuworker_unpark and gpuworker_replace
// do what the commands of the same names do.
package command

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
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

var _ action.ActionWithConfigure = &Command{}

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
	progress := func(e apply.Event) {
		text := fmt.Sprintf("%s: %s %s", e.Worker, e.Step, e.Phase)
		if e.Detail != "" {
			text += ": " + e.Detail
		}
		response.SendProgress(action.InvokeProgressEvent{Message: diags.Detail(text, "")})
	}
	if err := c.do(ctx, worker.ValueString(), uuid.ValueString(), progress); err != nil {
		diags.AddError(&response.Diagnostics, fmt.Sprintf("Worker %s: %s failed", worker.ValueString(), c.name), err, diags.Nowhere)
	}
}

func (c *Command) do(ctx context.Context, worker, uuid string, progress func(apply.Event)) error {
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
	_, err = s.Work(ctx, request, func(plans engine.Plans) error { return accept(plans, worker) }, progress)
	return err
}

// accept refuses plans that do not work on the worker.
func accept(plans engine.Plans, worker string) error {
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
			}
		}
	}
	return nil
}
