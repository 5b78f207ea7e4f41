package cli

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// realPlan is a plan as the engine makes it, written in a format.
func realPlan(t testing.TB, write func(any) ([]byte, error)) []byte {
	t.Helper()
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	documents, _, err := document.Load(document.File{Name: "lab.yaml", Data: text})
	if err != nil {
		t.Fatal(err)
	}
	request := plan.Request{Verb: plan.ApplyDocuments, AllowRestart: true}
	snapshot := inventorytest.Observed(inventorytest.Host("pve1", inventorytest.T4("03:00")), inventorytest.Template(9000, "ubuntu-22.04", "pve1"))
	p, err := planner.Make(planner.Input{Hypervisor: &documents.Hypervisors[0], Pools: documents.WorkerPools, Snapshot: snapshot, Request: request})
	if err != nil {
		t.Fatal(err)
	}
	plans := engine.Plans{Request: request, Documents: document.List{Documents: documents}, Plans: []*plan.Plan{p}}
	if plans, err = plans.Sealed(); err != nil {
		t.Fatal(err)
	}
	data, err := write(viewPlans(plans))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Reading any file as a plan ends. What is read as a plan can be printed, compared and
// written, and is the same when it is read again.
func FuzzPlanFile(f *testing.F) {
	for _, write := range []func(any) ([]byte, error){machine.JSON, machine.YAML} {
		whole := realPlan(f, write)
		if _, err := parsePlan(whole); err != nil {
			f.Fatalf("a real plan is not read: %v\n%s", err, whole)
		}
		f.Add(whole)
		f.Add(bytes.ReplaceAll(whole, []byte("  "), nil))
	}
	for _, text := range []string{"{}", `{"request":{"verb":"apply"},"documents":[],"plans":[null]}`, "a: &a [*a]", `{"plans":[{"pools":[{"workers":[{"steps":["x"]}]}]}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		plans, err := parsePlan(data)
		if err != nil {
			return
		}
		if same, differences := plans.Remain(plans); !same && len(differences) == 0 {
			t.Error("it differs from itself, and nobody knows how")
		}
		for _, p := range plans.Plans {
			if p != nil {
				_ = plan.Text(new(bytes.Buffer), p, plan.Style{})
			}
		}
		text, err := machine.JSON(planView{Plans: plans})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parsePlan(text)
		if err != nil {
			if cutOff(text) {
				return
			}
			t.Fatalf("what was written is not read: %v\n%s", err, text)
		}
		if diff := cmp.Diff(plans, again, cmpopts.IgnoreUnexported(engine.Unseen{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("changed by writing and reading (-before +after):\n%s", diff)
		}
	})
}
