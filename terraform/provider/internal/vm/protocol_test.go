package vm_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// call invokes an action and returns its progress and its errors.
func call(t *testing.T, l *testlab.Lab, name string, attributes map[string]string) (progress, errors []string) {
	t.Helper()
	server := l.Server()
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]tftypes.Value{}
	for key, value := range attributes {
		set[key] = tftypes.NewValue(tftypes.String, value)
	}
	stream, err := server.InvokeAction(context.Background(), &tfprotov6.InvokeActionRequest{
		ActionType: name, Config: l.Object(schemas.ActionSchemas[name].Schema, set),
	})
	if err != nil {
		t.Fatal(err)
	}
	for event := range stream.Events {
		switch e := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			progress = append(progress, e.Message)
		case tfprotov6.CompletedInvokeActionEventType:
			for _, d := range e.Diagnostics {
				errors = append(errors, d.Summary+"\n"+d.Detail)
			}
		}
	}
	return progress, errors
}

// TestActionsParkUnparkAndReplace, as Terraform 1.14 invokes them.
func TestActionsParkUnparkAndReplace(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	run(l, t, resource.TestStep{Config: gpuVM(), Check: keep(&uuid)}, testlab.Forget(address))
	running := func() bool { return l.Sim.State().VMs[9100].Running }

	progress, errors := call(t, l, "gpuworker_park", map[string]string{"worker": "gpu-1"})
	if len(errors) > 0 || running() || !slices.Contains(progress, "gpu-1: park done") {
		t.Errorf("park: running %v, %q %q", running(), progress, errors)
	}
	if _, errors := call(t, l, "gpuworker_unpark", map[string]string{"worker": "gpu-1"}); len(errors) > 0 || !running() {
		t.Errorf("unpark: running %v, %q", running(), errors)
	}
	for range 2 { // the second time nothing is destroyed
		if _, errors := call(t, l, "gpuworker_replace", map[string]string{"worker": "gpu-1", "uuid": uuid}); len(errors) > 0 {
			t.Errorf("replace: %q", errors)
		}
	}
	_, errors = call(t, l, "gpuworker_park", map[string]string{"worker": "gpu-9"})
	want := []string{"Worker gpu-9: park failed\nhypervisor proxmox: find gpu-9: there is no such worker\n→ gpuworker status lists the workers"}
	if diff := cmp.Diff(want, errors); diff != "" {
		t.Error(diff)
	}
}

// TestWorkersAndForeignVMsAreListed, as terraform query does.
func TestWorkersAndForeignVMsAreListed(t *testing.T) {
	l := testlab.New(t)
	run(l, t, resource.TestStep{Config: gpuVM()}, testlab.Forget(address))
	server := l.Server()
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	names := func(set map[string]tftypes.Value) []string {
		stream, err := server.ListResource(context.Background(), &tfprotov6.ListResourceRequest{
			TypeName: "gpuworker_vm", Config: l.Object(schemas.ListResourceSchemas["gpuworker_vm"], set), IncludeResource: true, Limit: 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for result := range stream.Results {
			for _, d := range result.Diagnostics {
				if d.Severity == tfprotov6.DiagnosticSeverityError {
					t.Errorf("%s: %s", d.Summary, d.Detail)
				}
			}
			all = append(all, result.DisplayName)
		}
		return all
	}
	if got, want := names(nil), []string{"gpu-1: VM 9100 on pve1, card pve1/0000:03:00.0"}; !slices.Equal(got, want) {
		t.Errorf("workers: %q, want %q", got, want)
	}
	got := names(map[string]tftypes.Value{"foreign": tftypes.NewValue(tftypes.Bool, true)})
	if want := "vdi-7: VM 204 on pve2, card pve2/0000:81:00.0, not a worker; gpuworker adopt 204 --as NAME makes it one"; !slices.Contains(got, want) {
		t.Errorf("foreign VMs: %q, want %q", strings.Join(got, "\n"), want)
	}
}
