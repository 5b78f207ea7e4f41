package vm_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const gpuVM = `
resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  host     = "pve1"
  gpu      = { bdf = "0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
  machine  = { cores = 4, memory = "8Gi", disk = { size = "40Gi" } }
}
`

func TestAGPUWorkerIsMadeAndDestroyed(t *testing.T) {
	l, uuid := testlab.New(t), config.Variables{}
	allowed := `variable "uuid" {}` + strings.Replace(gpuVM, "host ", "allow_destroy_uuid = var.uuid\n  host ", 1)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{
				Config: gpuVM,
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction("gpuworker_vm.gpu", plancheck.ResourceActionCreate)},
					PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				},
				Check: resource.ComposeAggregateTestCheckFunc(
					resource.TestCheckResourceAttr("gpuworker_vm.gpu", "card", "pve1/0000:03:00.0"),
					resource.TestCheckResourceAttr("gpuworker_vm.gpu", "iommu_group", "14"),
					resource.TestCheckResourceAttr("gpuworker_vm.gpu", "model", "Tesla T4"),
					resource.TestCheckResourceAttr("gpuworker_vm.gpu", "state", "Running"),
					resource.TestMatchResourceAttr("gpuworker_vm.gpu", "uuid", regexp.MustCompile("^[0-9a-f-]{36}$")),
				),
			},
			{Config: gpuVM, Destroy: true, ExpectError: regexp.MustCompile("first apply allow_destroy_uuid")},
			{Config: gpuVM, Check: testlab.Remember(uuid, "uuid", "gpuworker_vm.gpu", "uuid")},
			{Config: allowed, ConfigVariables: uuid},
		},
	})
}
