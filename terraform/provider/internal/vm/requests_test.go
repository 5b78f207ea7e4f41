package vm_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const manyVMs = `
resource "gpuworker_vm" "gpu" {
  count    = %d
  name     = "gpu-${count.index}"
  gpu      = { model = "Tesla T4" }
  template = { name = "ubuntu-22.04" }
}
`

// TestManyVMsCostAtMostTwiceTheRequestsOfTheCommand makes 64 GPU workers, each as a
// resource of its own, and the same workers with the engine of the command-line tool;
// then it plans nothing. With the race detector there are 16.
func TestManyVMsCostAtMostTwiceTheRequestsOfTheCommand(t *testing.T) {
	count, fleet := 64, pvesim.Fleet{Hosts: 200, GPUs: 5, VMs: 25}
	if thorough.Every > 1 || testing.Short() {
		count, fleet = 16, pvesim.Fleet{Hosts: 20, GPUs: 5, VMs: 5}
	}
	world := func(w *pvesim.World) { *w = fleet.World() }
	l := testlab.Alone(t, world)
	var planned, applied, refreshed map[string]int
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{
			Config: fmt.Sprintf(manyVMs, count),
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{l.NoteRequests(&planned)}, PostApplyPreRefresh: []plancheck.PlanCheck{l.NoteRequests(new(map[string]int))},
				PostApplyPostRefresh: []plancheck.PlanCheck{l.NoteRequests(&refreshed), plancheck.ExpectEmptyPlan()},
			},
			Check: func(*terraform.State) error { applied = l.Requests(); return nil },
		},
		testlab.Forget(address),
	}})
	command := testlab.Start(t, world)
	documents := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{command.Hypervisor()}}
	for n := range count {
		p := v1alpha1.WorkerPool{Spec: v1alpha1.WorkerPoolSpec{
			Hypervisor: "proxmox", Template: v1alpha1.Template{Name: "ubuntu-22.04"}, GPUs: []v1alpha1.GPURequest{{Model: "Tesla T4"}}, Names: []string{fmt.Sprintf("gpu-%d", n)},
		}}
		p.Name = p.Spec.Names[0]
		documents.WorkerPools = append(documents.WorkerPools, p)
	}
	v1alpha1.SetDefaults(documents)
	apply := command.Command()
	plans, err := apply.Plan(t.Context(), documents, plan.Request{Verb: plan.ApplyDocuments})
	l.Must(err)
	_, err = apply.Apply(t.Context(), plans, engine.ApplyOptions{})
	l.Must(err)
	made := command.Requests()
	_, _, err = command.Command().Status(t.Context(), documents, nil)
	l.Must(err)
	seen := command.Requests()

	all := testlab.Total(planned) + testlab.Total(applied)
	t.Logf("%d VMs: plan %d, plan and apply %d, by the command %d; plan of nothing %d, status by the command %d", count, testlab.Total(planned), all, testlab.Total(made), testlab.Total(refreshed), testlab.Total(seen))
	if all > 2*testlab.Total(made) {
		t.Errorf("these are more than twice the requests of the command:\n%s", testlab.SideBySide(applied, made))
	}
	if testlab.Total(refreshed) > 2*testlab.Total(seen) {
		t.Errorf("a plan of nothing sends more than twice the requests of a status:\n%s", testlab.SideBySide(refreshed, seen))
	}
}
