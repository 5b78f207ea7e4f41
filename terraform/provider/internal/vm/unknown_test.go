package vm_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// later is a value that is known only after apply: terraform_data.NAME.output.
func later(name, value string) string {
	return "resource \"terraform_data\" \"" + name + "\" {\n  input = \"" + value + "\"\n}\n"
}

// TestAHostThatIsKnownOnlyAfterApply stays unknown in the plan, also when the card says
// which host it is.
func TestAHostThatIsKnownOnlyAfterApply(t *testing.T) {
	config := later("host", "pve2") + strings.NewReplacer(`"pve1"`, "terraform_data.host.output", `{ bdf = "0000:03:00.0" }`, `{ card = "pve2/0000:03:00.0" }`).Replace(gpuVM())
	run(testlab.New(t), t,
		resource.TestStep{Config: config, ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: has("host", "pve2", "card", "pve2/0000:03:00.0")},
		testlab.Forget(address),
	)
}

// TestWhatIsNotKnownYetRefusesNothing: pve1 does not have the bridge of the default, but
// another one is configured.
func TestWhatIsNotKnownYetRefusesNothing(t *testing.T) {
	l := testlab.New(t, func(world *pvesim.World) {
		world.Hosts[0].Bridges = slices.DeleteFunc(world.Hosts[0].Bridges, func(b pvesim.Bridge) bool { return b.Name == "vmbr0" })
	})
	config := gpuVM("networks = terraform_data.networks.output") + `
resource "terraform_data" "networks" {
  input = [{ name = "vmbr1" }]
}`
	run(l, t, resource.TestStep{Config: config, PlanOnly: true, ExpectNonEmptyPlan: true})
}

// TestAHostWithAModelStaysAsConfigured: which card it is, is chosen again by the apply.
func TestAHostWithAModelStaysAsConfigured(t *testing.T) {
	run(testlab.New(t), t,
		resource.TestStep{
			Config:           strings.Replace(gpuVM(), `{ bdf = "0000:03:00.0" }`, `{ model = "Tesla T4" }`, 1),
			ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: has("host", "pve1", "card", "pve1/0000:03:00.0"),
		},
		testlab.Forget(address),
	)
}

// TestAWorkerThatExistsIsTakenWhenTheRestIsKnown: with the default it would differ. With a
// name that is not known yet it stays, and another name is refused when it is known.
func TestAWorkerThatExistsIsTakenWhenTheRestIsKnown(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	run(l, t, resource.TestStep{Config: gpuVM("machine = { cores = 8 }"), Check: keep(&uuid)}, testlab.Forget(address))
	run(l, t,
		resource.TestStep{
			Config: later("cores", "8") + gpuVM("machine = { cores = terraform_data.cores.output }"), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
			Check: resource.ComposeTestCheckFunc(same(&uuid), has("origin", "Taken")),
		},
		resource.TestStep{
			Config:      later("cores", "8") + later("name", "gpu-2") + strings.Replace(gpuVM("machine = { cores = 8 }"), `"gpu-1"`, "terraform_data.name.output", 1),
			ExpectError: regexp.MustCompile(`Worker gpu-1 would be destroyed`),
		},
		testlab.Forget(address),
	)
}

// TestAnEphemeralWorkerThatMayHaveToBeReplaced is planned as replaced when its name, or
// what cannot be changed in place, is not known yet.
func TestAnEphemeralWorkerThatMayHaveToBeReplaced(t *testing.T) {
	const named = "gpuworker_vm.named"
	config := func(firmware, name string) string {
		return later("firmware", firmware) + plainVM("machine = { firmware = terraform_data.firmware.output }") +
			later("name", name) + strings.NewReplacer(`"gpuworker_vm" "gpu"`, `"gpuworker_vm" "named"`, `"plain-1"`, "terraform_data.name.output").Replace(plainVM())
	}
	replaced := planned(plancheck.ResourceActionDestroyBeforeCreate)
	replaced.PreApply = append(replaced.PreApply, plancheck.ExpectResourceAction(named, plancheck.ResourceActionDestroyBeforeCreate))
	l := testlab.New(t)
	run(l, t,
		resource.TestStep{Config: config("UEFI", "plain-2")},
		resource.TestStep{
			PreConfig: func() { l.Said() }, Config: config("BIOS", "plain-3"), ConfigPlanChecks: replaced,
			Check: resource.ComposeTestCheckFunc(has("machine.firmware", "BIOS"), resource.TestCheckResourceAttr(named, "id", "/plain-3/plain-3"), func(*terraform.State) error {
				said := l.Said()
				for name, what := range map[string]string{"plain-1": "machine.firmware", "plain-2": "name"} {
					if want := "warning: Worker " + name + " is replaced: not known before the apply: " + what + "; with another value, the VM has to be replaced\n" +
						"→ to keep the VM if the value stays the same, first apply the resource that the value comes from: terraform apply -target=ADDRESS"; !slices.Contains(said, want) {
						return errors.New("the provider does not say: " + want)
					}
				}
				return nil
			}),
		},
	)
}

// TestAWorkerWithAnUnknownNameIsNotDestroyedByItself: with create_before_destroy, the old
// VM would be taken for the new one when the name stays the same.
func TestAWorkerWithAnUnknownNameIsNotDestroyedByItself(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	config := func(input string) string {
		return `resource "terraform_data" "name" {
  input = ` + input + `
}
` + strings.Replace(plainVM("lifecycle {\n    create_before_destroy = true\n  }"), `"plain-1"`, "terraform_data.name.output[0]", 1)
	}
	run(l, t,
		resource.TestStep{Config: config(`["plain-1"]`), Check: keep(&uuid)},
		resource.TestStep{Config: config(`["plain-1", "other"]`), ExpectError: regexp.MustCompile(`\.origin: was\s+cty.StringVal\("Made"\),\s+but\s+now\s+cty.StringVal\("Taken"\)`)},
		testlab.Forget(address),
	)
	if got := l.UUID("plain-1"); got != uuid {
		t.Errorf("the VM is %s, not %s", got, uuid)
	}
}
