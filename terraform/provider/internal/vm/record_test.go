package vm_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestTheVMItselfSaysThatItIsSemiPersistent: a state that was edited, or that another
// front end has outdated, does not make a worker ephemeral.
func TestTheVMItselfSaysThatItIsSemiPersistent(t *testing.T) {
	l := testlab.New(t)
	run(l, t, resource.TestStep{Config: gpuVM()}, testlab.Forget(address))
	uuid := l.UUID("gpu-1")
	got := destroyed(t, l, map[string]string{"name": "gpu-1", "pool": "gpu-1", "host": "pve1", "uuid": uuid, "vm_id": "9100", "worker_lifecycle": "Ephemeral"})
	want := "Worker gpu-1 was not destroyed: gpu-1: a semi-persistent worker is destroyed only when a person names its VM, " + uuid +
		"\n→ to destroy it, first apply allow_destroy_uuid = \"" + uuid + "\";"
	if !strings.HasPrefix(got, want) || l.VM("gpu-1") == nil {
		t.Errorf("the provider says:\n%s\nwant:\n%s\nthe VM is %v", got, want, l.VM("gpu-1"))
	}
}

// TestAStateWithoutUUIDDestroysNothing: a worker that was moved from another provider,
// and not refreshed yet.
func TestAStateWithoutUUIDDestroysNothing(t *testing.T) {
	l := testlab.New(t)
	run(l, t, resource.TestStep{Config: gpuVM()}, testlab.Forget(address))
	got := destroyed(t, l, map[string]string{"name": "gpu-1", "host": "pve1", "vm_id": "9100"})
	want := "Worker gpu-1 was not destroyed: gpu-1: the worker is VM " + l.UUID("gpu-1") +
		" now, not the VM of the state, whose UUID is not known; nothing was destroyed\n" +
		"→ run terraform plan again; a semi-persistent worker needs allow_destroy_uuid of the new VM"
	if got != want {
		t.Errorf("the provider says:\n%s\nwant:\n%s", got, want)
	}
}

// destroyed destroys the worker of a state with these attributes, without a refresh, and
// returns the only error.
func destroyed(t *testing.T, l *testlab.Lab, state map[string]string) string {
	t.Helper()
	server, ctx := l.Server(), context.Background()
	schemas, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	l.Must(err)
	kind := schemas.ResourceSchemas["gpuworker_vm"]
	attributes := map[string]tftypes.Value{}
	for name, value := range state {
		attributes[name] = tftypes.NewValue(tftypes.String, value)
	}
	response, err := server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: "gpuworker_vm", PriorState: l.Object(kind, attributes), PlannedState: null(t, kind), Config: null(t, kind),
	})
	l.Must(err)
	if len(response.Diagnostics) != 1 {
		return ""
	}
	return response.Diagnostics[0].Summary + ": " + response.Diagnostics[0].Detail
}

func null(t *testing.T, schema *tfprotov6.Schema) *tfprotov6.DynamicValue {
	t.Helper()
	value, err := tfprotov6.NewDynamicValue(schema.ValueType(), tftypes.NewValue(schema.ValueType(), nil))
	if err != nil {
		t.Fatal(err)
	}
	return &value
}
