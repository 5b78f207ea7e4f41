package vm_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestAnEphemeralWorkerGoesToAnotherPoolOrKubeCluster: it is another worker then, with the
// same name, so its VM must be gone before anything can be decided about the new one.
func TestAnEphemeralWorkerGoesToAnotherPoolOrKubeCluster(t *testing.T) {
	const other = `
resource "gpuworker_vm" "other" {
  name     = "other"
  template = { name = "ubuntu-22.04" }
  proxmox  = { on_boot = false }
}`
	replaced := planned(plancheck.ResourceActionDestroyBeforeCreate)
	run(testlab.New(t), t,
		resource.TestStep{Config: plainVM(`kube_cluster = "one"`) + other},
		resource.TestStep{Config: plainVM(`kube_cluster = "two"`) + other, ConfigPlanChecks: replaced, Check: has("id", "two/plain-1/plain-1", "state", "Running")},
		resource.TestStep{
			Config: plainVM(`kube_cluster = "two"`, `pool = "more"`, `depends_on = [gpuworker_vm.added]`) + other + `
resource "gpuworker_vm" "added" {
  name       = "added"
  template   = { name = "ubuntu-22.04" }
}`,
			ConfigPlanChecks: replaced, Check: has("id", "two/more/plain-1", "state", "Running"),
		},
	)
}

// TestAGPUWorkerThatAPersonHasNamedGetsAnotherName, on the same card.
func TestAGPUWorkerThatAPersonHasNamedGetsAnotherName(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{"uuid": config.StringVariable("")}
	text := func(name string) string {
		return `variable "uuid" {}
resource "gpuworker_vm" "gpu" {
  name               = "` + name + `"
  pool               = "gpus"
  gpu                = { card = "pve1/0000:03:00.0" }
  template           = { name = "ubuntu-22.04" }
  allow_destroy_uuid = var.uuid
}`
	}
	keep := testlab.Remember(uuids, "uuid", address, "uuid")
	run(l, t,
		resource.TestStep{Config: text("gpu-1"), ConfigVariables: uuids, Check: keep},
		resource.TestStep{Config: text("gpu-1"), ConfigVariables: uuids},
		resource.TestStep{Config: text("gpu-2"), ConfigVariables: uuids, ConfigPlanChecks: planned(plancheck.ResourceActionDestroyBeforeCreate), Check: keep},
		resource.TestStep{Config: text("gpu-2"), ConfigVariables: uuids},
	)
}
