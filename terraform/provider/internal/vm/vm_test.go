package vm_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const address = "gpuworker_vm.gpu"

// gpuVM is a GPU worker on the Tesla T4 of pve1, with further attributes.
func gpuVM(more ...string) string {
	return fmt.Sprintf(`
resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  host     = "pve1"
  gpu      = { bdf = "0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
  %s
}
`, strings.Join(more, "\n  "))
}

// plainVM is a worker without a GPU.
func plainVM(more ...string) string {
	return fmt.Sprintf(`
resource "gpuworker_vm" "gpu" {
  name     = "plain-1"
  template = { name = "ubuntu-22.04" }
  %s
}
`, strings.Join(more, "\n  "))
}

// empty checks that the second plan has nothing to do.
var empty = resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}

// planned checks what Terraform plans for the worker.
func planned(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func has(pairs ...string) resource.TestCheckFunc {
	var all []resource.TestCheckFunc
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, resource.TestCheckResourceAttr(address, pairs[i], pairs[i+1]))
	}
	return resource.ComposeAggregateTestCheckFunc(all...)
}

// keep keeps the UUID of the VM.
func keep(uuid *string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		*uuid = s.RootModule().Resources[address].Primary.Attributes["uuid"]
		return nil
	}
}

func same(uuid *string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		if now := s.RootModule().Resources[address].Primary.Attributes["uuid"]; now != *uuid {
			return fmt.Errorf("the VM is %s, not %s", now, *uuid)
		}
		return nil
	}
}

func run(l *testlab.Lab, t *testing.T, steps ...resource.TestStep) {
	t.Helper()
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: steps})
}

func TestAGPUWorkerIsMadeAndNotDestroyedByAccident(t *testing.T) {
	run(testlab.New(t), t,
		resource.TestStep{
			Config:           gpuVM(`machine = { cores = 4, memory = "8Gi", disk = { size = "40Gi" } }`),
			ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
			Check: resource.ComposeAggregateTestCheckFunc(
				has("id", "/gpu-1/gpu-1", "card", "pve1/0000:03:00.0", "attachment", "mapping=gpu-pve1-0000-03-00,pcie=1", "iommu_group", "14", "model", "Tesla T4", "state", "Running", "drift.#", "0"),
				resource.TestMatchResourceAttr(address, "uuid", regexp.MustCompile("^[0-9a-f-]{36}$")),
				resource.TestMatchResourceAttr(address, "ip_address", regexp.MustCompile(`^[0-9.]+$`)),
			),
		},
		resource.TestStep{Config: gpuVM(), Destroy: true, ExpectError: regexp.MustCompile("first apply allow_destroy_uuid")},
		resource.TestStep{Config: gpuVM(), Taint: []string{address}, ExpectError: regexp.MustCompile("Worker gpu-1 would be replaced")},
		testlab.Forget(address),
	)
}

func TestAPlainWorkerIsMadeAndDestroyed(t *testing.T) {
	l := testlab.New(t)
	run(l, t, resource.TestStep{
		Config: plainVM(), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
		Check: has("state", "Running", "name", "plain-1"),
	})
	for _, vm := range l.Sim.State().VMs {
		if vm.Name == "plain-1" {
			t.Error("the VM still exists")
		}
	}
}

func TestAWorkerIsImported(t *testing.T) {
	imported := func(id string) resource.TestStep {
		return resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: id, ImportStateVerify: true,
			ImportStateVerifyIgnore: []string{"reason", "origin", "machine", "template", "networks", "access", "proxmox", "worker_lifecycle", "dns", "labels"},
		}
	}
	run(testlab.New(t), t,
		resource.TestStep{Config: gpuVM(), ConfigPlanChecks: empty},
		imported("gpu-1"), imported("9100"), imported("/gpu-1/gpu-1"),
		resource.TestStep{ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithID, ImportStateId: "gpu-1"},
		resource.TestStep{ResourceName: address, ImportState: true, ImportStateId: "204", ExpectError: testlab.Text(
			"The worker cannot be imported", `VM 204 on pve2: find 204: it is not proven that the VM is a worker: it has no mark and no record of gpuworker
			→ gpuworker adopt -f FILE 204 --as NAME makes it a worker`)},
		resource.TestStep{ResourceName: address, ImportState: true, ImportStateId: "gpu-9", ExpectError: testlab.Text(
			"The worker cannot be imported", `hypervisor proxmox: find gpu-9: there is no such worker
			→ gpuworker status -f FILE lists the workers`)},
		testlab.Forget(address),
	)
}

func TestAChangeIsMadeInPlace(t *testing.T) {
	uuid := ""
	run(testlab.New(t), t,
		resource.TestStep{Config: gpuVM(), Check: keep(&uuid)},
		resource.TestStep{
			Config: gpuVM(`proxmox = { on_boot = false }`), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: same(&uuid),
		},
		resource.TestStep{
			Config: gpuVM(`machine = { cores = 8 }`),
			ExpectError: testlab.Error(address, "Worker gpu-1 would have to be restarted", `machine = { cores = 8 }`,
				`it is semi-persistent, and this change cannot be made while the VM runs: machine.cores: 4 → 8 (stop/start)
				→ set allow_restart = true, or undo the change`),
		},
		resource.TestStep{
			Config:           gpuVM(`machine = { cores = 8 }`, `allow_restart = true`),
			ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: resource.ComposeTestCheckFunc(same(&uuid), has("state", "Running", "drift.#", "0")),
		},
		testlab.Forget(address),
	)
}

func TestAChangeThatNeedsAnotherVMIsRefused(t *testing.T) {
	uuid := ""
	run(testlab.New(t), t,
		resource.TestStep{Config: gpuVM(), Check: keep(&uuid)},
		resource.TestStep{
			Config:      gpuVM(`machine = { firmware = "BIOS" }`),
			ExpectError: regexp.MustCompile(`Worker gpu-1 would have to be replaced`),
		},
		resource.TestStep{
			Config:      strings.Replace(gpuVM(), `"gpu-1"`, `"gpu-2"`, 1),
			ExpectError: regexp.MustCompile(`Worker gpu-1 would be destroyed`),
		},
		testlab.Forget(address),
	)
}

func TestAnEphemeralWorkerIsReplaced(t *testing.T) {
	run(testlab.New(t), t,
		resource.TestStep{Config: plainVM()},
		resource.TestStep{Config: plainVM(`machine = { firmware = "BIOS" }`), ConfigPlanChecks: planned(plancheck.ResourceActionDestroyBeforeCreate)},
	)
}

// TestAFailedCreateIsFinishedByTheNextApply: Terraform keeps nothing of the failure; the
// VM is found by its proof and not cloned twice.
func TestAFailedCreateIsFinishedByTheNextApply(t *testing.T) {
	l := testlab.New(t)
	fail := func() {
		if err := l.Sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.TaskFails, Text: "start failed: boom"}); err != nil {
			t.Fatal(err)
		}
	}
	run(l, t,
		resource.TestStep{PreConfig: fail, Config: gpuVM(), ExpectError: regexp.MustCompile("boom")},
		resource.TestStep{PreConfig: l.Sim.ClearFaults, Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: has("vm_id", "9100", "state", "Running")},
		testlab.Forget(address),
	)
	clones := 0
	for _, vm := range l.Sim.State().VMs {
		if vm.Name == "gpu-1" {
			clones++
		}
	}
	if clones != 1 {
		t.Errorf("there are %d VMs with the name", clones)
	}
}
