package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// ValidateConfig implements resource.ResourceWithValidateConfig: what can be checked
// without the hypervisor is checked by the engine at the plan too, but then only for
// resources that Terraform plans.
func (r *Resource) ValidateConfig(_ context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	w, err := vmOf(request.Config.Raw)
	if err != nil {
		return // a value with a wrong form is reported by its attribute
	}
	for _, name := range []string{"host", "pool"} { // with "", the engine would choose, but Terraform wants what is configured
		if value := w.Attributes[name]; value.IsKnown() && !value.IsNull() && w.Text(name) == "" {
			response.Diagnostics.AddAttributeError(path.Root(name), "The configuration is not valid", name+" is empty: leave it out, or write null, for the default")
		}
	}
	if w.unknown {
		return
	}
	if w.Text("host") == "" && w.Attributes["host"].IsKnown() && w.cardField("bdf") != "" {
		response.Diagnostics.AddAttributeError(path.Root("gpu"), "The configuration is not valid",
			"A BDF is an address on one host: set host too, or write gpu.card, \"pve1/"+w.cardField("bdf")+"\".")
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan: it asks the engine what would be
// done, and refuses what the engine refuses.
func (r *Resource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	if request.Plan.Raw.IsNull() {
		planDestroy(request.State.Raw, &response.Diagnostics)
		return
	}
	wanted, err := vmOf(request.Config.Raw)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The configuration is not valid", err, attributeOf)
		return
	}
	s, _ := r.Session()
	if s == nil {
		return // nothing can be observed yet
	}
	if request.State.Raw.IsNull() && r.planLater(ctx, wanted, response) {
		return
	}
	if !request.State.Raw.IsNull() && (r.planReplace(wanted, request, response) || wanted.unknown) {
		return // with values that are not known yet, a change could look like one that needs a restart
	}
	if r.Shared.Plan(engine.KeyOf(&wanted.pool), request.State.Raw.IsNull(), &response.Diagnostics); response.Diagnostics.HasError() {
		return
	}
	r.planDecided(ctx, s, wanted, request, response)
}

// planDecided plans what the engine decides.
func (r *Resource) planDecided(ctx context.Context, s *engine.Session, wanted *vm, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	seen, warnings, err := wanted.decide(ctx, s)
	var problems *engine.ProblemsError
	switch {
	case err != nil && wanted.unknown && errors.As(err, &problems):
		return // it is decided when the values are known
	case err != nil:
		diags.AddError(&response.Diagnostics, "Worker "+wanted.name+" cannot be planned", err, attributeOf)
		return
	}
	for _, problem := range warnings {
		diags.AddWarning(&response.Diagnostics, problem, attributeOf)
	}
	if seen.Action == plan.Refuse && request.Plan.Raw.Equal(request.State.Raw) { // nothing is wanted: do not stop the plan of other resources
		response.Diagnostics.AddWarning("Worker "+wanted.name+" cannot be changed now", diags.Detail(why(seen), ""))
		return
	}
	p := planner{vm: wanted, seen: seen, response: response, to: &response.Diagnostics}
	var planned values
	if request.State.Raw.IsNull() {
		planned = p.create(r)
	} else if planned, err = p.update(request.State.Raw); err != nil {
		diags.AddError(&response.Diagnostics, "The state of the worker cannot be read", err, attributeOf)
	}
	if response.Diagnostics.HasError() {
		return
	}
	wanted.planAs(planned, response)
}

// cardField is a field of gpu; "" when it is not there.
func (w *vm) cardField(name string) string {
	fields, _, err := w.card()
	text, is := fields[name].(string)
	if err != nil || !is {
		return ""
	}
	return text
}

// planDestroy refuses at the plan what Delete would refuse.
func planDestroy(state tftypes.Value, to *diag.Diagnostics) {
	w, err := vmOf(state)
	if err == nil {
		err = w.mayBeDestroyed(w.uuid)
	}
	if err != nil {
		diags.AddError(to, "Worker "+w.nameOrEmpty()+" would be destroyed", err, attributeOf)
	}
}

// planner plans one worker.
type planner struct {
	*vm
	seen     *engine.Decided
	response *resource.ModifyPlanResponse
	to       *diag.Diagnostics
}

// create plans a worker that is not in the state.
func (p *planner) create(r *Resource) values {
	seen := p.seen
	if _, inState := r.Shared.InState(typeName + " " + p.id()); inState {
		if p.semiPersistent() {
			p.to.AddError("Worker "+p.name+" would be replaced", diags.Detail(
				"it is semi-persistent, and its resource is tainted, was named with -replace, or has another address in the configuration now; the VM and its disks would be lost",
				fmt.Sprintf("terraform untaint keeps the VM, and so does moved { from = OLD, to = NEW } after a new address; %s replaces it deliberately, on the same card", shell.Command("gpuworker replace %s", p.name))))
		}
		return p.fresh()
	}
	p.notes()
	if origin := p.undecided(); origin != "" {
		return undecided(origin)
	}
	switch seen.Action {
	case plan.Refuse:
		diags.AddRefusals(p.to, p.name, p.certain(seen.Refusals))
	case plan.Hold, plan.Replace, plan.Destroy:
		p.to.AddError("Worker "+p.name+" exists and differs", diags.Detail(seen.Reason+": "+worker.Changes(seen), cmp.Or(p.oneVM(), seen.Hint)))
	case plan.Create:
		if !p.pinned() {
			p.to.AddWarning("The engine chooses host and card", diags.Detail(fmt.Sprintf("%s: %s: %s; apply chooses again", p.name, placeOf(seen), seen.Reason), ""))
		}
	case plan.Wait:
		p.to.AddWarning("Worker "+p.name+" is being made by another run", diags.Detail(seen.Reason, seen.Hint))
	default:
		p.to.AddWarning("Worker "+p.name+" exists already", diags.Detail(fmt.Sprintf(
			"VM %s on %s is proven to be this worker: it is taken into the state and not made again", seen.Worker.VM, seen.Host), p.oneVM()))
		v := p.existing(nil, "", originTaken)
		v.Unknown = append(v.Unknown, "reason", "addresses", "ip_address")
		return v
	}
	return p.fresh()
}

// oneVM is the advice for a replacement with create_before_destroy, which Terraform plans
// like any other creation; "" when the worker may not be replaced at all.
func (p *planner) oneVM() string {
	if p.semiPersistent() {
		return ""
	}
	return "if this is to replace the VM: remove create_before_destroy, because a worker has one VM"
}

// placeOf writes host and card.
func placeOf(seen *engine.Decided) string {
	if seen.Card.IsZero() {
		return "on " + seen.Host
	}
	return fmt.Sprintf("card %s, %s", seen.Card, seen.Model)
}

// pinned reports whether the configuration says on which host, and with which card.
func (p *planner) pinned() bool {
	if p.gpu() {
		return p.cardField("card") != "" || p.cardField("bdf") != ""
	}
	return p.Text("host") != ""
}

// gpu reports whether the configuration asks for a card.
func (p *planner) gpu() bool {
	fields, _, _ := p.card()
	return fields != nil
}

// fresh are the computed values of a VM that is not made yet.
func (p *planner) fresh() values {
	placed := p.pinned() && (p.seen.Action == plan.Create || p.seen.VM != nil)
	v := values{Values: worker.Fresh(p.seen, placed), origin: originMade, drift: []string{}}
	v.Unknown = append(v.Unknown, "reason")
	if p.gpu() || !placed {
		v.Unknown = append(v.Unknown, "attachment")
	}
	if placed {
		v.Host = p.seen.Host
	}
	return v
}

// existing are the computed values of a VM that exists, after the work.
func (p *planner) existing(addresses []string, reason, origin string) values {
	v := values{worker.Existing(p.seen, addresses), engine.AttachmentOf(p.seen.VM), reason, origin, worker.Remaining(p.seen)}
	if slices.Contains(p.seen.Steps, plan.StepAttach) {
		v.Unknown = append(v.Unknown, "attachment")
	}
	return v
}

// notes warns of findings that do not stop the worker, and of hosts whose state is not
// known.
func (p *planner) notes() {
	for _, note := range p.certain(p.seen.Notes) {
		if note.Verdict == finding.Fail || note.Verdict == finding.Unknown {
			p.to.AddWarning("About worker "+p.name, diags.Finding(note))
		}
	}
}

// update plans a worker that is in the state.
func (p *planner) update(state tftypes.Value) (values, error) {
	was, err := vmOf(state)
	if err != nil {
		return values{}, err
	}
	p.notes()
	seen := p.seen
	switch {
	case seen.Action == plan.Refuse:
		diags.AddRefusals(p.to, p.name, seen.Refusals)
		return values{}, nil
	case seen.VM == nil:
		return p.fresh(), nil // it is made again
	case seen.Action == plan.Replace:
		p.response.RequiresReplace = append(p.response.RequiresReplace, p.causes(plan.NeedsRemake)...)
		p.to.AddWarning("Worker "+p.name+" is replaced", diags.Detail("it is ephemeral, and cannot be changed in place: "+worker.Changes(seen), ""))
		return p.fresh(), nil
	case seen.Action == plan.Restart:
		p.to.AddWarning("Worker "+p.name+" is restarted", diags.Detail("shut down, changed and started: "+worker.Changes(seen), ""))
	}
	p.heldChanges(was)
	return p.existing(was.addresses, was.Text("reason"), was.Text("origin")), nil
}

// heldChanges refuses changes of the configuration that the engine would hold, and warns
// of such changes that were made outside of Terraform.
func (p *planner) heldChanges(was *vm) {
	known := was.Texts("drift")
	for _, c := range p.seen.Changes {
		if !worker.IsHeld(p.seen, c) {
			continue
		}
		if slices.Contains(known, c.String()) {
			p.to.AddWarning("Worker "+p.name+" differs from its configuration", diags.Detail(c.String(), p.seen.Hint))
			continue
		}
		summary, fix := "Worker "+p.name+" would have to be restarted", "set allow_restart = true, or undo the change"
		if c.When == plan.NeedsRemake {
			summary = "Worker " + p.name + " would have to be replaced"
			fix = fmt.Sprintf("undo the change; or replace the VM deliberately: %s", shell.Command("gpuworker replace %s --vm %s", p.name, p.seen.Ref.UUID))
		}
		p.errorAt(c, summary, diags.Detail("it is semi-persistent, and this change cannot be made while the VM runs: "+c.String(), fix))
	}
}

// errorAt adds an error at the attribute that causes a change.
func (p *planner) errorAt(c plan.Change, summary, detail string) {
	if at := p.cause(c); !at.Equal(path.Empty()) {
		p.to.AddAttributeError(at, summary, detail)
		return
	}
	p.to.AddError(summary, detail)
}

// cause is the attribute of a change; empty when it is not in the configuration.
func (p *planner) cause(c plan.Change) path.Path {
	at, _ := attributeOf(strings.Replace(c.Field, "gpus", "gpus[0]", 1))
	if value, is := p.Attributes[at.String()]; !is || value.IsNull() {
		return path.Empty()
	}
	return at
}

// causes are the attributes of all changes of a kind; at least one.
func (p *planner) causes(when plan.When) path.Paths {
	var all path.Paths
	for _, c := range p.seen.Changes {
		if at := p.cause(c); c.When == when && !at.Equal(path.Empty()) {
			all = append(all, at)
		}
	}
	if len(all) == 0 {
		return path.Paths{path.Root("template")}
	}
	return all
}
