package vm

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

var _ resource.ResourceWithMoveState = &Resource{}

// MoveState implements resource.ResourceWithMoveState: a moved block may name a VM of the
// providers bpg/proxmox and Telmate/proxmox. Host, identifier and name are kept. They
// prove nothing: the next refresh proves that the VM is a worker, or refuses.
func (r *Resource) MoveState(context.Context) []resource.StateMover {
	return []resource.StateMover{{StateMover: r.moveState}}
}

// theirs are the attributes of other providers that say which VM it is.
type theirs struct {
	Name       string      `json:"name"`
	NodeName   string      `json:"node_name"`   // bpg
	TargetNode string      `json:"target_node"` // Telmate
	BPGID      json.Number `json:"vm_id"`
	TelmateID  json.Number `json:"vmid"`
}

func (r *Resource) moveState(_ context.Context, request resource.MoveStateRequest, response *resource.MoveStateResponse) {
	if request.SourceTypeName != "proxmox_virtual_environment_vm" && request.SourceTypeName != "proxmox_vm_qemu" {
		return // Terraform says that it is not supported
	}
	var was theirs
	if err := json.Unmarshal(request.SourceRawState.JSON, &was); err != nil {
		diags.AddError(&response.Diagnostics, "The state of the VM cannot be read", err, attributeOf)
		return
	}
	host, id := was.NodeName, was.BPGID.String()
	if request.SourceTypeName == "proxmox_vm_qemu" {
		host, id = was.TargetNode, was.TelmateID.String()
	}
	if was.Name == "" || id == "" || id == "0" {
		response.Diagnostics.AddError("The VM cannot be moved", diags.Detail(
			fmt.Sprintf("the state of %s has no name or no identifier of the VM", request.SourceTypeName),
			"import it with its name or identifier: terraform import gpuworker_vm.NAME ID"))
		return
	}
	kind := response.TargetState.Schema.Type().TerraformType(context.Background()).(tftypes.Object)
	attributes := map[string]tftypes.Value{}
	for name, of := range kind.AttributeTypes {
		attributes[name] = tftypes.NewValue(of, nil)
	}
	attributes["name"], attributes["host"], attributes["vm_id"] = worker.Text(was.Name), worker.Text(host), worker.Text(id)
	response.TargetState.Raw = tftypes.NewValue(kind, attributes)
}

// prove refreshes a worker whose state proves nothing yet: it was moved from another
// provider. The VM must have identifier and name of the state, and be a worker.
func (r *Resource) prove(ctx context.Context, limit worker.Limit, s *engine.Session, w *vm, response *resource.ReadResponse) {
	id := w.Text("vm_id")
	raw, err := existing(ctx, s, fmt.Sprintf("VM %s %q", id, w.name), func(vm *inventory.VM) bool {
		return vm.ID == id && vm.Name == w.name
	}, w.Raw.Type().(tftypes.Object))
	var found *vm
	if err == nil {
		found, err = vmOf(raw)
	}
	if err != nil {
		diags.AddError(&response.Diagnostics, "VM "+id+" cannot be taken over", limit.Explain(ctx, err), attributeOf)
		return
	}
	*w = *found
	r.read(ctx, limit, s, w, response)
}
