package pool

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
)

// ImportState implements resource.ResourceWithImportState: by identity, or by an id that is
// the name of the pool, or the attribute id. Only VMs that are proven to be workers count.
func (r *Resource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	to := &response.Diagnostics
	const summary = "The pool cannot be imported"
	s, hypervisor := r.Session()
	if s == nil {
		diags.AddError(to, summary, session.ErrNotConfigured, attributeOf)
		return
	}
	id := identity{Name: request.ID}
	if kubeCluster, name, whole := strings.Cut(request.ID, "/"); whole {
		id = identity{KubeCluster: kubeCluster, Name: name}
	}
	if request.ID == "" {
		response.Diagnostics.Append(request.Identity.Get(ctx, &id)...)
	}
	if id.Hypervisor != "" && id.Hypervisor != hypervisor {
		to.AddError(summary, diags.Detail("its hypervisor is "+id.Hypervisor+", the provider is for "+hypervisor,
			"use the provider of that hypervisor; its attribute name says which one it is for"))
	}
	if to.HasError() {
		return
	}
	byName := request.ID == id.Name // without a KubeCluster
	document, _, err := s.Existing(ctx, "the workers of pool "+id.Name, func(vm *inventory.VM) bool {
		return vm.Record != nil && vm.Record.Pool == id.Name && (byName || vm.Record.KubeCluster == id.KubeCluster)
	})
	var fields map[string]any
	if err == nil {
		fields, err = spec.Fields(document.Spec)
	}
	var raw tftypes.Value
	if err == nil {
		delete(fields, "hypervisor")
		fields["name"] = document.Name
		raw, err = spec.Value(fields, response.State.Schema.Type().TerraformType(ctx).(tftypes.Object))
	}
	var p *pool
	if err == nil {
		p, err = poolOf(raw)
	}
	if err != nil {
		diags.AddError(to, summary, err, attributeOf)
		return
	}
	response.State.Raw = raw
	response.Diagnostics.Append(response.Identity.Set(ctx, p.identity(hypervisor))...)
}
