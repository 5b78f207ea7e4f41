package vm

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// ImportState implements resource.ResourceWithImportState: by identity, or by an id that is
// a name, the identifier of a VM, or the attribute id. The VM must be proven to be the
// worker.
func (r *Resource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	s, hypervisor := r.Session()
	if s == nil {
		diags.AddError(&response.Diagnostics, "The worker cannot be imported", session.ErrNotConfigured, attributeOf)
		return
	}
	wanted, match := request.ID, matchID(request.ID)
	if request.ID == "" {
		var id identity
		response.Diagnostics.Append(request.Identity.Get(ctx, &id)...)
		if response.Diagnostics.HasError() {
			return
		}
		if id.Hypervisor != "" && id.Hypervisor != hypervisor {
			response.Diagnostics.AddError("The worker cannot be imported", "its hypervisor is "+id.Hypervisor+", the provider is for "+hypervisor+
				"\n→ use the provider of that hypervisor; its attribute name says which one it is for")
			return
		}
		wanted, match = id.Name, id.match
	}
	raw, err := existing(ctx, s, wanted, match, response.State.Schema.Type().TerraformType(ctx).(tftypes.Object))
	if err != nil {
		diags.AddError(&response.Diagnostics, "The worker cannot be imported", err, attributeOf)
		return
	}
	response.State.Raw = raw
	w, err := vmOf(raw)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The worker cannot be imported", err, attributeOf)
		return
	}
	response.Diagnostics.Append(response.Identity.Set(ctx, w.identity(hypervisor))...)
}

// matchID matches VMs with an id of an import: KUBECLUSTER/POOL/NAME, the identifier of a
// VM, or a name.
func matchID(id string) func(*inventory.VM) bool {
	if parts := strings.Split(id, "/"); len(parts) == 3 {
		return identity{KubeCluster: parts[0], Pool: parts[1], Name: parts[2]}.match
	}
	return func(vm *inventory.VM) bool { return vm.Name == id || vm.ID == id }
}

// match matches the VM of an identity. An empty pool matches any.
func (i identity) match(vm *inventory.VM) bool {
	if vm.Record == nil {
		return vm.Name == i.Name
	}
	return vm.Record.Worker == i.Name && (i.Pool == "" || vm.Record.Pool == i.Pool && vm.Record.KubeCluster == i.KubeCluster)
}

// existing is the state of an existing worker.
func existing(ctx context.Context, s *engine.Session, wanted string, match func(*inventory.VM) bool, kind tftypes.Object) (raw tftypes.Value, err error) {
	pool, vms, err := s.Existing(ctx, wanted, match)
	if err != nil {
		return raw, err
	}
	fields, err := fieldsOf(pool)
	if err != nil {
		return raw, err
	}
	if raw, err = spec.Value(fields, kind); err != nil {
		return raw, err
	}
	attributes := map[string]tftypes.Value{}
	if err := raw.As(&attributes); err != nil {
		return raw, err
	}
	vm := vms[0]
	attributes["name"], attributes["pool"], attributes["host"] = worker.Text(vm.Name), worker.Text(vm.Record.Pool), worker.Text(vm.Home())
	attributes["uuid"], attributes["vm_id"] = worker.Text(vm.UUID), worker.Text(vm.ID)
	if attributes["gpu"], err = cardOf(pool, kind.AttributeTypes["gpu"].(tftypes.Object)); err != nil {
		return raw, err
	}
	return tftypes.NewValue(kind, attributes), nil
}

// fieldsOf are the fields of a pool that a single VM has too.
func fieldsOf(pool *v1alpha1.WorkerPool) (map[string]any, error) {
	fields, err := spec.Fields(pool.Spec)
	for _, name := range notOfAVM {
		delete(fields, name)
	}
	return fields, err
}

// cardOf is the attribute gpu of a worker with this card.
func cardOf(pool *v1alpha1.WorkerPool, kind tftypes.Object) (tftypes.Value, error) {
	if len(pool.Spec.GPUs) == 0 {
		return tftypes.NewValue(kind, nil), nil
	}
	ref, _ := pool.Spec.GPUs[0].Place()
	return spec.Value(map[string]any{"bdf": ref.BDF().String()}, kind)
}
