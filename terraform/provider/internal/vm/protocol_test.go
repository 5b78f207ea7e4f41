package vm_test

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
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
	if len(errors) > 0 || running() {
		t.Errorf("park: running %v, %q", running(), errors)
	}
	want := []string{
		"gpu-1: park began", "gpu-1: park done",
		"gpu-1: shutdown began", "gpu-1: shutdown waits for the guest to shut down", "gpu-1: shutdown done",
	}
	if diff := cmp.Diff(want, slices.Compact(progress)); diff != "" {
		t.Errorf("park (- want, + is):\n%s", diff)
	}
	progress, errors = call(t, l, "gpuworker_park", map[string]string{"worker": "gpu-1"})
	if want := []string{"gpu-1: nothing is to be done: already parked"}; len(errors) > 0 || !slices.Equal(progress, want) {
		t.Errorf("park again: %q, want %q; %q", progress, want, errors)
	}
	if _, errors := call(t, l, "gpuworker_unpark", map[string]string{"worker": "gpu-1"}); len(errors) > 0 || !running() {
		t.Errorf("unpark: running %v, %q", running(), errors)
	}
	if _, errors := call(t, l, "gpuworker_replace", map[string]string{"worker": "gpu-1", "uuid": uuid}); len(errors) > 0 {
		t.Errorf("replace: %q", errors)
	}
	progress, errors = call(t, l, "gpuworker_replace", map[string]string{"worker": "gpu-1", "uuid": uuid}) // now nothing is destroyed
	gone := "gpu-1: nothing is to be done: VM " + uuid + " is gone; the worker is VM " + l.UUID("gpu-1") + " now, "
	if len(errors) > 0 || len(progress) != 1 || !strings.HasPrefix(progress[0], gone) {
		t.Errorf("replace again: %q, want %s…; %q", progress, gone, errors)
	}
	_, errors = call(t, l, "gpuworker_park", map[string]string{"worker": "gpu-9"})
	want = []string{"Worker gpu-9: park failed\nhypervisor proxmox: find gpu-9: there is no such worker\n→ gpuworker status -f FILE lists the workers"}
	if diff := cmp.Diff(want, errors); diff != "" {
		t.Error(diff)
	}
}

// TestAReplaceNeedsAUUID is refused before anything runs.
func TestAReplaceNeedsAUUID(t *testing.T) {
	l := testlab.Start(t)
	server := provider.New("test", io.Discard, os.Getenv).(testlab.Server)
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for uuid, want := range map[string]string{
		"bac99bed-bc93-4665-a952-fe986d457273": "",
		"gpu-1": `The configuration is not valid
uuid: "gpu-1" is not a UUID
→ terraform state show prints the attribute uuid of the worker; gpuworker status -f FILE -o json too`,
	} {
		config := l.Object(schemas.ActionSchemas["gpuworker_replace"].Schema, map[string]tftypes.Value{
			"worker": tftypes.NewValue(tftypes.String, "gpu-1"), "uuid": tftypes.NewValue(tftypes.String, uuid),
		})
		validated, err := server.ValidateActionConfig(context.Background(), &tfprotov6.ValidateActionConfigRequest{ActionType: "gpuworker_replace", Config: config})
		if err != nil {
			t.Fatal(err)
		}
		planned, err := server.PlanAction(context.Background(), &tfprotov6.PlanActionRequest{ActionType: "gpuworker_replace", Config: config})
		if err != nil {
			t.Fatal(err)
		}
		for when, all := range map[string][]*tfprotov6.Diagnostic{"validate": validated.Diagnostics, "plan": planned.Diagnostics} {
			got := ""
			for _, d := range all {
				got += d.Summary + "\n" + d.Detail
			}
			if got != want {
				t.Errorf("%s of %s: got %q, want %q", when, uuid, got, want)
			}
		}
	}
}

// listed calls the list of workers; with whole resources, as for generating configuration.
// It returns the names that are shown, and the errors and warnings.
func listed(t *testing.T, l *testlab.Lab, set map[string]tftypes.Value, whole bool) (names, said []string) {
	t.Helper()
	server := l.Server()
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := server.ListResource(context.Background(), &tfprotov6.ListResourceRequest{
		TypeName: "gpuworker_vm", Config: l.Object(schemas.ListResourceSchemas["gpuworker_vm"], set), IncludeResource: whole, Limit: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	for result := range stream.Results {
		for _, d := range result.Diagnostics {
			said = append(said, d.Severity.String()+": "+d.Summary+"\n"+d.Detail)
		}
		if result.Identity == nil {
			continue
		}
		names = append(names, result.DisplayName)
		if whole { // without a resource, Terraform 1.14.0 crashes
			if value, err := result.Resource.Unmarshal(schemas.ResourceSchemas["gpuworker_vm"].ValueType()); err != nil || value.IsNull() {
				t.Errorf("%s has no resource: %v", result.DisplayName, err)
			}
		}
	}
	return names, said
}

// TestWorkersAndForeignVMsAreListed, as terraform query does.
func TestWorkersAndForeignVMsAreListed(t *testing.T) {
	l := testlab.New(t)
	run(l, t, resource.TestStep{Config: gpuVM()}, testlab.Forget(address))
	foreign := map[string]tftypes.Value{"foreign": tftypes.NewValue(tftypes.Bool, true)}
	for _, test := range []struct {
		set         map[string]tftypes.Value
		whole       bool
		names, said []string
	}{
		{nil, false, []string{"gpu-1: VM 9100 on pve1, card pve1/0000:03:00.0"}, nil},
		{nil, true, []string{"gpu-1: VM 9100 on pve1, card pve1/0000:03:00.0"}, nil},
		{foreign, false, []string{"vdi-7: VM 204 on pve2, card pve2/0000:81:00.0, not a worker; gpuworker adopt -f FILE 204 --as NAME makes it one"}, nil},
		{foreign, true, nil, []string{"WARNING: VM 204 is not a worker\nvdi-7: VM 204 on pve2, card pve2/0000:81:00.0: " +
			"it is left out, because only a worker can be imported\n→ gpuworker adopt -f FILE 204 --as NAME makes it a worker"}},
	} {
		names, said := listed(t, l, test.set, test.whole)
		if diff := cmp.Diff(test.names, names); diff != "" {
			t.Errorf("%v, whole %v, names (- want, + is):\n%s", test.set, test.whole, diff)
		}
		if diff := cmp.Diff(test.said, said); diff != "" {
			t.Errorf("%v, whole %v, messages (- want, + is):\n%s", test.set, test.whole, diff)
		}
	}
}
