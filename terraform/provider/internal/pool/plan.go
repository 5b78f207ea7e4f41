package pool

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// ModifyPlan implements resource.ResourceWithModifyPlan: it asks the engine what would be
// done, and refuses what the engine refuses.
func (r *Resource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	to := &response.Diagnostics
	if request.Plan.Raw.IsNull() {
		planDestroy(request.State.Raw, to)
		return
	}
	wanted, target, was, err := read(request)
	if err != nil {
		diags.AddError(to, "The configuration is not valid", err, attributeOf)
		return
	}
	s, _ := r.Session()
	if s == nil || !wanted.keyKnown() {
		return // nothing can be observed yet
	}
	if moved := wanted.moved(was); len(moved) > 0 {
		response.RequiresReplace = append(response.RequiresReplace, moved...)
		planMove(was, moved, to)
		r.Shared.Succeed(typeName + " " + wanted.id())
		return
	}
	response.Plan.Raw = target.With(map[string]tftypes.Value{"id": worker.Text(wanted.id())})
	if wanted.unplaced || was == nil && r.Shared.Succeeds(typeName+" "+wanted.id()) {
		return // it is decided when the values are known, or the predecessor is gone
	}
	if r.Shared.Plan(engine.KeyOf(wanted.document()), was == nil, to); to.HasError() {
		return
	}
	p := &planner{pool: wanted, was: was, to: to, planned: map[string]worker.Values{}, drift: []string{}}
	if p.decide(ctx, s) {
		r.planDecided(p, target, request, response)
	}
}

// planDecided plans what the engine has decided.
func (r *Resource) planDecided(p *planner, target *pool, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	entry, inState := r.Shared.InState(typeName + " " + p.id())
	switch {
	case p.was == nil && inState:
		p.replaced(entry)
		return
	case p.was != nil && request.Plan.Raw.Equal(request.State.Raw) && p.unchanged():
		return
	}
	if p.plan(); !p.to.HasError() {
		response.Plan.Raw = target.with(p.planned, p.drift)
	}
}

// read reads the configuration, the plan and the state; the state is nil when there is
// none.
func read(request resource.ModifyPlanRequest) (wanted, target, was *pool, err error) {
	if wanted, err = poolOf(request.Config.Raw); err != nil {
		return nil, nil, nil, err
	}
	if target, err = poolOf(request.Plan.Raw); err != nil {
		return nil, nil, nil, err
	}
	if !request.State.Raw.IsNull() {
		was, err = poolOf(request.State.Raw)
	}
	return wanted, target, was, err
}

// planDestroy refuses at the plan what Delete would refuse.
func planDestroy(state tftypes.Value, to *diag.Diagnostics) {
	p, err := poolOf(state)
	if err == nil {
		err = p.mayBeDestroyed()
	}
	if err != nil {
		diags.AddError(to, "Pool "+p.nameOrEmpty()+" would be destroyed", err, attributeOf)
	}
}

func (p *pool) nameOrEmpty() string {
	if p == nil {
		return ""
	}
	return p.name
}

// moved are the attributes that make it another pool than that of the state.
func (p *pool) moved(was *pool) path.Paths {
	var moved path.Paths
	if was != nil && was.name != p.name {
		moved = append(moved, path.Root("name"))
	}
	if was != nil && was.spec.KubeCluster != p.spec.KubeCluster {
		moved = append(moved, path.Root("kube_cluster"))
	}
	return moved
}

// planMove refuses a new name when the workers of the old one may not be destroyed.
func planMove(was *pool, moved path.Paths, to *diag.Diagnostics) {
	if err := was.mayBeDestroyed(); err != nil {
		to.AddAttributeError(moved[0], "Pool "+was.name+" would be destroyed", diags.Detail(
			"name and kube_cluster say which pool this is; with another one, all VMs would be destroyed and others made; "+err.Error(), "undo the change; "+fault.FixOf(err)))
	}
}

// planner plans one pool.
type planner struct {
	*pool    // as configured
	was      *pool
	decision *engine.Decision
	to       *diag.Diagnostics

	planned  map[string]worker.Values
	drift    []string
	ending   []vm // semi-persistent workers that are no longer declared
	nameless bool // a worker is refused for its name
	news     news
}

// decide asks the engine, and reports whether it decided.
func (p *planner) decide(ctx context.Context, s *engine.Session) bool {
	decision, err := s.Decide(ctx, p.document(), p.allowRestart)
	if err != nil {
		diags.AddError(p.to, "Pool "+p.name+" cannot be planned", err, attributeOf)
		return false
	}
	for _, problem := range decision.Warnings {
		diags.AddWarning(p.to, problem, attributeOf)
	}
	p.decision = &decision
	return true
}

// replaced refuses the creation of a pool that is in the state: its resource is tainted or
// was named with -replace. With create_before_destroy, Terraform would take the present
// VMs for the new ones, and then destroy them.
func (p *planner) replaced(entry session.Entry) {
	var permanent []string
	for seen := range firstOfEach(p.decision) {
		if _, known := entry.Workers[seen.Name]; known && p.semiPersistent() || seen.VM != nil && worker.IsPermanent(seen.VM.Record) {
			permanent = append(permanent, seen.Name)
		}
	}
	if len(permanent) == 0 {
		p.to.AddError("Pool "+p.name+" would be replaced", diags.Detail(
			"its resource is tainted or was named with -replace; a pool is changed in place, and its ephemeral workers are replaced when a change needs it",
			"terraform untaint keeps the VMs; gpuworker replace NAME replaces one worker"))
	} else {
		p.to.AddError("Pool "+p.name+" would be replaced", diags.Detail(
			"its resource is tainted, was named with -replace, or has another address in the configuration now, and these workers are semi-persistent; their VMs and disks would be lost: "+phrase.And(permanent),
			"terraform untaint keeps the VMs, and so does moved { from = OLD, to = NEW } after a new address; gpuworker replace NAME replaces one worker deliberately, on the same card"))
	}
}

// plan plans all workers, and then says what was gathered about them.
func (p *planner) plan() {
	for seen := range firstOfEach(p.decision) {
		p.notes(seen)
		switch {
		case seen.Action == plan.Refuse:
			p.refuse(seen)
		case seen.Undeclared:
			p.undeclared(seen)
		case seen.VM == nil:
			p.make(seen)
		case p.was == nil:
			p.take(seen)
		default:
			p.change(seen)
		}
	}
	p.refuseEnding()
	p.news.tell(p.to)
}

// keep plans a VM that exists and stays.
func (p *planner) keep(seen *engine.Decided) {
	values := worker.Existing(seen, nil)
	if was, known := p.lastOf(seen.Name); known {
		values = worker.Existing(seen, was.Addresses)
	} else {
		values.Unknown = []string{"addresses", "ip_address"}
	}
	p.planned[seen.Name] = values
	p.drift = append(p.drift, differences(seen, true)...)
}

// lastOf are the values of a worker in the state.
func (p *planner) lastOf(name string) (values worker.Values, known bool) {
	if p.was != nil {
		values, known = p.was.workers[name]
	}
	return values, known
}

// make plans a VM that is to be made.
func (p *planner) make(seen *engine.Decided) {
	p.fresh(seen)
	switch {
	case seen.Action == plan.Wait:
		p.news.warn("Workers of pool "+p.name+" are being made by another run", seen.Reason, seen.Hint, seen.Name)
	case !p.isPlaced(seen):
		p.news.warn("The engine chooses hosts and cards", "", "apply chooses again", placeOf(seen))
	}
}

// fresh plans the values of a VM that is to be made.
func (p *planner) fresh(seen *engine.Decided) {
	values := worker.Fresh(seen, p.isPlaced(seen))
	if len(p.spec.GPUs) == 0 { // no card is certain too
		values.Unknown = slices.DeleteFunc(values.Unknown, func(name string) bool { return name == "card" || name == "model" || name == "iommu_group" })
	}
	p.planned[seen.Name] = values
}

// isPlaced reports whether the configuration says on which host a worker is, and with
// which card.
func (p *planner) isPlaced(seen *engine.Decided) bool {
	if seen.Action != plan.Create && seen.Action != plan.Replace {
		return false
	}
	if len(p.spec.GPUs) == 0 {
		return len(p.spec.Hosts) == 1
	}
	return slices.ContainsFunc(p.spec.GPUs, func(g v1alpha1.GPURequest) bool {
		ref, named := g.Place()
		return named && ref == seen.Card
	})
}

// placeOf writes where a new worker would be, and why.
func placeOf(seen *engine.Decided) string {
	if seen.Card.IsZero() {
		return fmt.Sprintf("%s: on %s: %s", seen.Name, seen.Host, seen.Reason)
	}
	return fmt.Sprintf("%s: card %s, %s: %s", seen.Name, seen.Card, seen.Model, seen.Reason)
}

// take plans a worker that exists although the pool is not in the state: an earlier apply
// failed, or somebody else made it.
func (p *planner) take(seen *engine.Decided) {
	switch seen.Action {
	case plan.Hold, plan.Replace, plan.Destroy:
		p.news.fail(path.Empty(), "Workers of pool "+p.name+" exist and differ", worker.Changes(seen), seen.Hint, seen.Name)
	default:
		p.news.warn("Workers of pool "+p.name+" exist already",
			"their VMs are proven to be these workers: they are taken into the state and not made again", "", seen.Name)
		p.keep(seen)
	}
}

// change plans a worker that has a VM.
func (p *planner) change(seen *engine.Decided) {
	switch seen.Action {
	case plan.Replace:
		p.news.warn("Workers of pool "+p.name+" are replaced", "they are ephemeral, and cannot be changed in place: "+worker.Changes(seen), "", seen.Name)
		p.fresh(seen)
		return
	case plan.Restart:
		p.news.warn("Workers of pool "+p.name+" are restarted", "shut down, changed and started: "+worker.Changes(seen), "", seen.Name)
	default:
	}
	p.held(seen)
	p.keep(seen)
}

// notes warns of findings that do not stop a worker, and of hosts whose state is not
// known.
func (p *planner) notes(seen *engine.Decided) {
	for _, note := range seen.Notes {
		if note.Verdict != finding.Fail && note.Verdict != finding.Unknown {
			continue
		}
		p.news.warn(fmt.Sprintf("About workers of pool %s (%s)", p.name, note.ID), note.Reason, "", fmt.Sprintf("%s (%s)", seen.Name, note.Where))
		if note.Fix != "" {
			p.news.also("→ " + note.Fix)
		}
	}
}
