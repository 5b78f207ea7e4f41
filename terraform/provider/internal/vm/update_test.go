package vm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const smallVM = `
resource "gpuworker_vm" "plain" {
  name     = "plain"
  template = { name = "ubuntu-22.04" }
  machine  = { cores = 2, memory = "2Gi" }
  proxmox  = { on_boot = true }
}
`

// TestAVMIsChangedInPlaceAndRestarted changes what needs no restart, and what needs one.
func TestAVMIsChangedInPlaceAndRestarted(t *testing.T) {
	l := testlab.New(t)
	updates := resource.ConfigPlanChecks{
		PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("gpuworker_vm.plain", plancheck.ResourceActionUpdate)},
	}
	live := strings.Replace(smallVM, "on_boot = true", "on_boot = false", 1)
	cores := strings.Replace(live, "cores = 2", "cores = 3", 1)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{Config: smallVM},
			{Config: live, ConfigPlanChecks: updates},
			{Config: cores, ConfigPlanChecks: updates, Check: resource.TestCheckResourceAttrSet("gpuworker_vm.plain", "ip_address")},
		},
	})
}

// TestAKnownDifferenceStopsNoOtherChange: the VM was changed by hand, and would have to
// be restarted for its configuration. That is shown, and other changes are made.
func TestAKnownDifferenceStopsNoOtherChange(t *testing.T) {
	l := testlab.New(t)
	permanent := strings.Replace(smallVM, `name     = "plain"`, `name = "plain"`+"\n  worker_lifecycle = \"SemiPersistent\"", 1)
	live := strings.Replace(permanent, "on_boot = true", "on_boot = false", 1)
	uuids := config.Variables{"uuid": config.StringVariable("")}
	allowed := strings.Replace(live, `name = "plain"`, `name = "plain"`+"\n  allow_destroy_uuid = var.uuid", 1) + "\nvariable \"uuid\" {}\n"
	const known = "machine.cores: 4 → 2 (stop/start)"
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{Config: permanent},
			{
				PreConfig: func() { l.Configure("plain", map[string]string{"cores": "4"}); l.Reboot("plain"); l.Said() },
				Config:    permanent,
				Check: resource.ComposeAggregateTestCheckFunc(
					resource.TestCheckResourceAttr("gpuworker_vm.plain", "drift.0", known),
					testlab.Remember(uuids, "uuid", "gpuworker_vm.plain", "uuid"),
				),
			},
			{
				PreConfig: func() {
					l.Expect("warning: Worker plain differs from its configuration: " + known + "\n→ set allow_restart = true")
				},
				Config: live,
				Check:  resource.TestCheckResourceAttr("gpuworker_vm.plain", "drift.0", known),
			},
			{Config: allowed, ConfigVariables: uuids},
		},
	})
}

// TestAVMThatIsGoneIsMadeAgain after a person has destroyed it.
func TestAVMThatIsGoneIsMadeAgain(t *testing.T) {
	var said []string
	l := testlab.New(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{Config: smallVM},
			{
				PreConfig: func() { l.Said(); l.Destroy("plain") }, Config: smallVM,
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("gpuworker_vm.plain", plancheck.ResourceActionCreate)}},
				Check:            func(*terraform.State) error { said = l.Said(); return nil },
			},
		},
	})
	if !slices.Contains(said, "removed from the state: gpuworker_vm") {
		t.Errorf("the provider said %q", said)
	}
}

// TestAValueThatIsNotKnownYetIsNoChange: its default would need a restart.
func TestAValueThatIsNotKnownYetIsNoChange(t *testing.T) {
	l := testlab.New(t)
	uuids := config.Variables{"uuid": config.StringVariable("")}
	text := func(memory string) string {
		return `variable "uuid" {}` + "\n" + `resource "terraform_data" "memory" { input = "` + memory + `" }` +
			strings.NewReplacer(`"2Gi"`, "terraform_data.memory.output", `name     = "plain"`, "name = \"plain\"\nworker_lifecycle = \"SemiPersistent\"\nallow_destroy_uuid = var.uuid").Replace(smallVM)
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{Config: text("2Gi"), ConfigVariables: uuids, Check: testlab.Remember(uuids, "uuid", "gpuworker_vm.plain", "uuid")},
			{Config: text("2048Mi"), ConfigVariables: uuids},
		},
	})
}
