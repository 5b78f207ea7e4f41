package vm_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// move moves the state of another provider, and refreshes it.
func move(t *testing.T, l *testlab.Lab, kind, state string) (refreshed map[string]tftypes.Value, errors []string) {
	t.Helper()
	ctx, server := context.Background(), l.Server()
	schemas, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := server.MoveResourceState(ctx, &tfprotov6.MoveResourceStateRequest{
		SourceTypeName: kind, SourceProviderAddress: "registry.terraform.io/x/y", TargetTypeName: "gpuworker_vm", SourceState: &tfprotov6.RawState{JSON: []byte(state)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range moved.Diagnostics {
		errors = append(errors, d.Summary+"\n"+d.Detail)
	}
	if len(errors) > 0 {
		return nil, errors
	}
	read, err := server.ReadResource(ctx, &tfprotov6.ReadResourceRequest{TypeName: "gpuworker_vm", CurrentState: moved.TargetState})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range read.Diagnostics {
		errors = append(errors, d.Summary+"\n"+d.Detail)
	}
	if len(errors) > 0 {
		return nil, errors
	}
	value, err := read.NewState.Unmarshal(schemas.ResourceSchemas["gpuworker_vm"].ValueType())
	if err == nil {
		err = value.As(&refreshed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return refreshed, nil
}

// TestAStateOfAnotherProviderIsMovedWithProof: its identifier alone proves nothing.
func TestAStateOfAnotherProviderIsMovedWithProof(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	run(l, t, resource.TestStep{Config: gpuVM(), Check: keep(&uuid)}, testlab.Forget(address))
	for kind, state := range map[string]string{
		"proxmox_virtual_environment_vm": `{"node_name": "pve1", "vm_id": %d, "name": %q, "bios": "seabios"}`,
		"proxmox_vm_qemu":                `{"target_node": "pve1", "vmid": %d, "name": %q, "bios": "seabios"}`,
	} {
		refreshed, errors := move(t, l, kind, fmt.Sprintf(state, 9100, "gpu-1"))
		if len(errors) > 0 || !refreshed["uuid"].Equal(tftypes.NewValue(tftypes.String, uuid)) {
			t.Errorf("%s: %v, UUID %v, want %s", kind, errors, refreshed["uuid"], uuid)
		}
		for name, test := range map[string]struct {
			id   int
			name string
			want string
		}{
			"a foreign VM": {204, "vdi-7", `VM 204 cannot be taken over
VM 204 on pve2: find VM 204 "vdi-7": it is not proven that the VM is a worker: it has no mark and no record of gpuworker
→ gpuworker adopt -f FILE 204 --as NAME makes it a worker`},
			"a recycled identifier": {9100, "desktop", `VM 9100 cannot be taken over
hypervisor proxmox: find VM 9100 "desktop": there is no such worker
→ gpuworker status -f FILE lists the workers`},
		} {
			if _, errors := move(t, l, kind, fmt.Sprintf(state, test.id, test.name)); len(errors) != 1 || errors[0] != test.want {
				t.Errorf("%s, %s: got %q, want %q", kind, name, errors, test.want)
			}
		}
	}
	if _, errors := move(t, l, "aws_instance", `{"name": "x"}`); len(errors) != 1 {
		t.Errorf("another type: %q", errors)
	}
}
