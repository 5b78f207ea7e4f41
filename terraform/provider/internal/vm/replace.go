package vm

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
)

// planReplace plans a change that makes it another worker, or may do so when all values
// are known, as a replacement; it returns false when the VM stays.
func (r *Resource) planReplace(wanted *vm, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) bool {
	to := &response.Diagnostics
	was, err := vmOf(request.State.Raw)
	if err != nil {
		diags.AddError(to, "The state of the worker cannot be read", err, attributeOf)
		return true
	}
	causes := wanted.moved(was)
	if len(causes) > 0 && was.mayBeDestroyed(was.uuid) != nil {
		to.AddAttributeError(causes[0], "Worker "+was.name+" would be destroyed", diags.Detail(
			"name, pool and kube_cluster say which worker this is; with another one, the VM would be destroyed and another one made",
			fmt.Sprintf("undo the change; to destroy the VM, first apply allow_destroy_uuid = %q", was.uuid)))
		return true
	}
	if len(causes) == 0 {
		var names []string
		if causes, names = wanted.mayReplace(was); len(causes) == 0 {
			return false
		}
		to.AddWarning("Worker "+was.name+" is replaced", diags.Detail("not known before the apply: "+phrase.And(names)+"; with another value, the VM has to be replaced",
			"to keep the VM if the value stays the same, first apply the resource that the value comes from: terraform apply -target=ADDRESS"))
	}
	response.RequiresReplace = append(response.RequiresReplace, causes...)
	if !wanted.keyKnown() {
		r.Shared.SucceedUnnamed()
		return true
	}
	r.Shared.Succeed(typeName + " " + wanted.id())
	wanted.planAs(undecided(originMade), response)
	return true
}

// moved are the attributes that make it another worker.
func (w *vm) moved(was *vm) path.Paths {
	var moved path.Paths
	for _, key := range []struct{ name, is, was string }{
		{"name", w.name, was.name}, {"pool", w.pool.Name, was.pool.Name}, {"kube_cluster", w.pool.Spec.KubeCluster, was.pool.Spec.KubeCluster},
	} {
		open := !w.isKnown(key.name) || key.name == "pool" && key.is == "" // its default is the name, which is not known
		if !open && key.is != key.was {
			moved = append(moved, path.Root(key.name))
		}
	}
	return moved
}

// mayReplace are the attributes that are not known yet and with which the VM may have to
// be replaced, and what is not known in them.
func (w *vm) mayReplace(was *vm) (causes path.Paths, names []string) {
	if was.mayBeDestroyed(was.uuid) != nil {
		return nil, nil // a replacement is refused when the values are known
	}
	for _, key := range []string{"name", "pool", "kube_cluster"} {
		if !w.isKnown(key) {
			causes, names = append(causes, path.Root(key)), append(names, key)
		}
	}
	if was.semiPersistent() || w.semiPersistent() {
		return causes, names
	}
	for _, field := range engine.ReplaceOnly() {
		if at, name := attributeOf(field); !w.isKnown(name) {
			causes, names = append(causes, at), append(names, name)
		}
	}
	return causes, names
}

// planLater plans a creation about which nothing can be decided yet; it returns false when
// there is something to decide.
func (r *Resource) planLater(ctx context.Context, wanted *vm, response *resource.ModifyPlanResponse) bool {
	switch {
	case !wanted.keyKnown() && r.Shared.SucceedsUnnamed():
		response.Diagnostics.Append(response.Plan.SetAttribute(ctx, path.Root("origin"), originMade)...)
		return true
	case !wanted.keyKnown():
		return true
	case r.Shared.Succeeds(typeName + " " + wanted.id()): // its predecessor still has its name or card
		wanted.planAs(undecided(originMade), response)
		return true
	}
	return false
}
