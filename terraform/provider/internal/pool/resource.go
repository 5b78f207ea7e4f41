package pool

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// Resource is the resource gpuworker_pool.
type Resource struct{ session.Resource }

// NewResource makes the resource.
func NewResource() resource.Resource { return &Resource{} }

var (
	_ resource.ResourceWithConfigure   = &Resource{}
	_ resource.ResourceWithIdentity    = &Resource{}
	_ resource.ResourceWithImportState = &Resource{}
	_ resource.ResourceWithModifyPlan  = &Resource{}
)

// typeName is the name of the resource in Terraform.
const typeName = "gpuworker_pool"

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
	to := &response.Diagnostics
	p, err := poolOf(request.State.Raw)
	if err != nil {
		diags.AddError(to, "The state of the pool cannot be read", err, attributeOf)
		return
	}
	limit := worker.LimitOf(ctx, request.State.GetAttribute, worker.Read, to)
	limited, end := limit.Begin(ctx)
	defer end()
	decision, err := s.Decide(limited, p.document(), p.allowRestart)
	if err = limit.Explain(limited, err); err != nil {
		diags.AddError(to, "Pool "+p.name+" cannot be observed", err, attributeOf)
		return
	}
	workers, drift, hidden := p.observed(limited, s, &decision, to)
	if len(workers) > 0 || hidden || len(p.workers) == 0 {
		response.State.Raw = p.with(workers, drift)
		r.remember(p, workers)
	} else {
		response.State.RemoveResource(ctx)
		r.Shared.Forget(typeName + " " + p.id())
	}
	response.Diagnostics.Append(response.Identity.Set(ctx, p.identity(hypervisor))...)
}

func (r *Resource) remember(p *pool, workers map[string]worker.Values) {
	entry := session.Entry{Name: p.name, Workers: map[string]session.Entry{}}
	for name, values := range workers {
		entry.Workers[name] = session.Entry{Name: name, UUID: values.UUID}
	}
	r.Shared.Remember(typeName+" "+p.id(), entry)
}

// observed are the workers that have a VM, and those of the state whose VM may exist but
// cannot be seen now; hidden reports whether there may be any such VM.
func (p *pool) observed(ctx context.Context, s *engine.Session, d *engine.Decision, to *diag.Diagnostics) (workers map[string]worker.Values, drift []string, hidden bool) {
	var news news
	workers, drift = map[string]worker.Values{}, []string{}
	running := map[string]inventory.VMRef{}
	for seen := range firstOfEach(d) {
		drift = append(drift, differences(seen, false)...)
		was, known := p.workers[seen.Name]
		why := d.Hidden(seen.Name, was.VM)
		hidden = hidden || why != ""
		if seen.VM == nil {
			continue
		}
		workers[seen.Name] = worker.Observed(seen, was.Addresses)
		if seen.VM.Running {
			running[seen.Name] = *seen.Ref
		}
		if known && was.UUID != seen.Ref.UUID {
			news.warn("Workers of pool "+p.name+" are other VMs now", "", "", fmt.Sprintf("%s: the state has VM %s, the worker is VM %s now: it was replaced by the command line, the action gpuworker_replace, or Terraform with another state", seen.Name, was.UUID, seen.Ref.UUID))
		}
	}
	for _, name := range inOrder(p.workers) {
		if why := d.Hidden(name, p.workers[name].VM); workers[name].UUID == "" && why != "" {
			workers[name], hidden = p.workers[name], true
			drift = append(drift, p.lastDrift(name, drift)...)
			news.warn("Workers of pool "+p.name+" cannot be observed now", why, "", name)
		}
	}
	ask(ctx, s, running, func(name string, addresses []string) {
		values := workers[name]
		values.Addresses = addresses
		workers[name] = values
	})
	news.tell(to)
	return workers, drift, hidden
}

// atOnce limits how many guest agents are asked at the same time.
const atOnce = 16

// ask asks the guest agents for addresses. An agent that does not answer is left out: the
// last known addresses stay.
func ask(ctx context.Context, s *engine.Session, vms map[string]inventory.VMRef, tell func(name string, addresses []string)) {
	var group sync.WaitGroup
	var mu sync.Mutex
	free := make(chan struct{}, atOnce)
	for name, ref := range vms {
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			if addresses, err := s.Addresses(ctx, ref); err == nil && addresses != nil {
				mu.Lock()
				defer mu.Unlock()
				tell(name, addresses)
			}
		})
	}
	group.Wait()
}

// Create implements resource.Resource. An error leaves no state: with a state, Terraform
// would taint the resource, and destroy the VMs at the next apply.
func (r *Resource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	limit := worker.LimitOf(ctx, request.Plan.GetAttribute, worker.Create, &response.Diagnostics)
	j := r.job(request.Plan.Raw, nil, &response.Diagnostics)
	if j == nil || !j.do(ctx, limit) {
		return
	}
	response.State.Raw = j.after
	response.Diagnostics.Append(response.Identity.Set(ctx, j.identity(j.hypervisor))...)
}

// Update implements resource.Resource. An error leaves the prior state, which has the
// permission to destroy workers too: the next refresh sees what was done, and the next
// apply does the rest.
func (r *Resource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	limit := worker.LimitOf(ctx, request.Plan.GetAttribute, worker.Update, &response.Diagnostics)
	was, err := poolOf(request.State.Raw)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The state of the pool cannot be read", err, attributeOf)
		return
	}
	j := r.job(request.Plan.Raw, was, &response.Diagnostics)
	if j == nil || !j.do(ctx, limit) {
		return
	}
	response.State.Raw = j.after
	response.Diagnostics.Append(response.Identity.Set(ctx, j.identity(j.hypervisor))...)
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	to := &response.Diagnostics
	limit := worker.LimitOf(ctx, request.State.GetAttribute, worker.Delete, to)
	s, _ := r.Session()
	p, err := poolOf(request.State.Raw)
	if err == nil && s == nil {
		err = session.ErrNotConfigured
	}
	if err == nil {
		err = p.mayBeDestroyed()
	}
	if err != nil {
		diags.AddError(to, "Pool "+p.nameOrEmpty()+" is not destroyed", err, attributeOf)
		return
	}
	ctx, end := limit.Begin(ctx)
	defer end()
	decision, err := s.Decide(ctx, p.document(), p.allowRestart)
	if err == nil {
		if names := p.toDelete(&decision); len(names) > 0 {
			_, err = s.Work(ctx, plan.Request{Verb: plan.DeleteWorkers, Workers: names}, p.acceptDelete, nil)
		}
	}
	if err = limit.Explain(ctx, err); err != nil {
		diags.AddError(to, "Pool "+p.name+" was not destroyed", err, attributeOf)
		return
	}
	s.Forget(engine.KeyOf(p.document()))
	r.Shared.Forget(typeName + " " + p.id())
}
