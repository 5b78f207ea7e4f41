package pool_test

import (
	"fmt"
	"slices"
	"strings"
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

const fleetPool = `
provider "gpuworker" {
  vmids = { first = 9100, last = 19999 }
}
resource "gpuworker_pool" "gpu" {
  name             = "gpu"
  worker_lifecycle = "SemiPersistent"
  gpus             = [{ model = "Tesla T4", count = COUNT }]
  template         = { name = "ubuntu-22.04" }
  machine          = { memory = "8Gi" }
}
`

// TestAPoolCostsNoMoreRequestsThanTheCommand makes a pool of 200 GPU workers on the cluster
// of docs/performance.md, with terraform plan and apply and with the engine of the
// command-line tool, and compares the requests; then a plan of nothing with a status of
// all workers. With the race detector the cluster is a quarter of that.
func TestAPoolCostsNoMoreRequestsThanTheCommand(t *testing.T) {
	workers, fleet := 200, pvesim.Fleet{Hosts: 200, GPUs: 5, VMs: 25}
	if thorough.Every > 1 || testing.Short() {
		workers, fleet = workers/4, pvesim.Fleet{Hosts: 50, GPUs: 5, VMs: 25}
	}
	world := func(w *pvesim.World) { *w = fleet.World() }
	made, seen := byCommand(t, testlab.Start(t, world), workers)
	l := testlab.Alone(t, world)
	var planned, applied, unrefreshed, refreshed map[string]int
	note := l.NoteRequests
	wanted := strings.Replace(fleetPool, "COUNT", fmt.Sprint(workers), 1)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{
				Config: wanted,
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PreApply:             []plancheck.PlanCheck{note(&planned)},
					PostApplyPreRefresh:  []plancheck.PlanCheck{note(&unrefreshed)},
					PostApplyPostRefresh: []plancheck.PlanCheck{note(&refreshed), plancheck.ExpectEmptyPlan()},
				},
				Check: func(*terraform.State) error { applied = l.Requests(); return nil },
			},
			{Config: "removed {\n  from = gpuworker_pool.gpu\n  lifecycle {\n    destroy = false\n  }\n}\n"},
		},
	})
	for kind, times := range planned {
		applied[kind] += times
	}
	t.Logf("%d workers: plan %d, plan and apply %d, by the command %d\n%s", workers, testlab.Total(planned), testlab.Total(applied), testlab.Total(made), testlab.SideBySide(applied, made))
	noMore(t, "plan and apply", applied, made, timed)
	t.Logf("plan of nothing %d (without refresh %d), status by the command %d\n%s", testlab.Total(refreshed), testlab.Total(unrefreshed), testlab.Total(seen), testlab.SideBySide(refreshed, seen))
	noMore(t, "plan of nothing", refreshed, seen, nil)
}

// timed are the kinds of requests whose number depends on when other answers come: polls,
// and lists that workers share when they need them at the same moment.
var timed = []string{"GET /nodes/{}/tasks/{}/status", "GET /nodes/{}/qemu/{}/agent/network-get-interfaces", "GET /cluster/mapping/pci"}

// noMore fails the test when there are more requests than those of the command; of the
// kinds in roughly, twice as many are allowed.
func noMore(t *testing.T, what string, ours, command map[string]int, roughly []string) {
	t.Helper()
	for kind, times := range ours {
		most := command[kind]
		if slices.Contains(roughly, kind) {
			most = 2*most + 20
		}
		if times > most {
			t.Errorf("%s: %d × %s, but the command %d", what, times, kind, command[kind])
		}
	}
}

// byCommand makes the same pool with the engine, and then reports the state of all
// workers. It returns the requests of both.
func byCommand(t *testing.T, l *testlab.Lab, workers int) (made, seen map[string]int) {
	t.Helper()
	h := l.Hypervisor()
	h.Spec.Proxmox.VMIDs = v1alpha1.VMIDRange{First: 9100, Last: 19999}
	p := v1alpha1.WorkerPool{Spec: v1alpha1.WorkerPoolSpec{Hypervisor: h.Name, Template: v1alpha1.Template{Name: "ubuntu-22.04"}}}
	p.Name = "gpu"
	p.Spec.GPUs = []v1alpha1.GPURequest{{Model: "Tesla T4", Count: int32(workers)}}
	documents := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{h}, WorkerPools: []v1alpha1.WorkerPool{p}}
	v1alpha1.SetDefaults(documents)
	apply := l.Command()
	plans, err := apply.Plan(t.Context(), documents, plan.Request{Verb: plan.ApplyDocuments})
	l.Must(err)
	_, err = apply.Apply(t.Context(), plans, engine.ApplyOptions{})
	l.Must(err)
	made = l.Requests()
	_, _, err = l.Command().Status(t.Context(), documents, nil)
	l.Must(err)
	return made, l.Requests()
}
