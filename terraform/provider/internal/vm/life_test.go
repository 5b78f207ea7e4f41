package vm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestAWorkerThatSomebodyStoppedIsStartedAgain: drift is shown and removed.
func TestAWorkerThatSomebodyStoppedIsStartedAgain(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	run(l, t,
		resource.TestStep{Config: gpuVM(), Check: keep(&uuid)},
		resource.TestStep{
			PreConfig: func() { l.Stop("gpu-1") }, RefreshState: true, ExpectNonEmptyPlan: true, Check: has("state", "Stopped"),
		},
		resource.TestStep{
			Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: resource.ComposeTestCheckFunc(same(&uuid), has("state", "Running")),
		},
		testlab.Forget(address),
	)
}

// TestAChangeByHandIsShownAndUndone, if it can be undone while the VM runs. Otherwise it is
// shown, and waits for a person.
func TestAChangeByHandIsShownAndUndone(t *testing.T) {
	l := testlab.New(t)
	run(l, t,
		resource.TestStep{Config: gpuVM()},
		resource.TestStep{
			PreConfig: func() { l.Configure("gpu-1", map[string]string{"onboot": "0"}) }, RefreshState: true, ExpectNonEmptyPlan: true,
			Check: has("drift.#", "1", "drift.0", "proxmox.onBoot: no → yes (live)"),
		},
		resource.TestStep{Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: has("drift.#", "0")},
		resource.TestStep{
			PreConfig: func() { l.Configure("gpu-1", map[string]string{"cores": "6"}) }, Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate),
		},
		testlab.Forget(address),
	)
}

// TestAReplacedWorkerIsAnotherVM: gpuworker replace is no error for Terraform, but is said.
func TestAReplacedWorkerIsAnotherVM(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	run(l, t,
		resource.TestStep{Config: gpuVM(), Check: keep(&uuid)},
		resource.TestStep{
			PreConfig: func() { l.Said(); l.Work(plan.ReplaceWorkers, "gpu-1") }, Config: gpuVM(),
			ConfigPlanChecks: planned(plancheck.ResourceActionNoop),
			Check: func(s *terraform.State) error {
				if same(&uuid)(s) == nil {
					return fmt.Errorf("the VM is still %s", uuid)
				}
				want := "warning: Worker gpu-1 is another VM now: the state has VM " + uuid + ", the worker is VM " + l.UUID("gpu-1") + " now: it was replaced " +
					"by the command line, the action gpuworker_replace, or Terraform with another state\n→ nothing is to be done: the state gets the new UUID; allow_destroy_uuid with the old one allows nothing any more"
				if said := l.Said(); !slices.Contains(said, want) {
					return fmt.Errorf("the provider said %q, want %q", said, want)
				}
				return nil
			},
		},
		testlab.Forget(address),
	)
}

// TestAParkedWorkerStaysParked: nothing is to be done.
func TestAParkedWorkerStaysParked(t *testing.T) {
	l := testlab.New(t)
	run(l, t,
		resource.TestStep{Config: gpuVM()},
		resource.TestStep{
			PreConfig: func() { l.Work(plan.ParkWorkers, "gpu-1") }, Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionNoop),
			Check: has("state", "Parked"),
		},
		testlab.Forget(address),
	)
}

// TestAWorkerThatIsGoneIsMadeAgain: somebody deleted it.
func TestAWorkerThatIsGoneIsMadeAgain(t *testing.T) {
	l := testlab.New(t)
	run(l, t,
		resource.TestStep{Config: gpuVM()},
		resource.TestStep{
			PreConfig: func() { l.Work(plan.DeleteWorkers, "gpu-1") }, Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
		},
		testlab.Forget(address),
	)
}

// TestAWorkerOnAHostThatIsOffStaysInTheState: it cannot be seen, but is not gone.
func TestAWorkerOnAHostThatIsOffStaysInTheState(t *testing.T) {
	l := testlab.New(t)
	online := func(online bool) func() {
		return func() {
			if err := l.Sim.SetHostOnline("pve1", online); err != nil {
				t.Fatal(err)
			}
		}
	}
	uuid := ""
	run(l, t,
		resource.TestStep{Config: gpuVM(), Check: keep(&uuid)},
		resource.TestStep{PreConfig: online(false), Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionNoop), Check: same(&uuid)},
		resource.TestStep{Config: gpuVM(`proxmox = { on_boot = false }`), ExpectError: regexp.MustCompile(`may\s+be\s+worker\s+gpu-1,\s+but\s+cannot\s+be\s+read`)},
		resource.TestStep{PreConfig: online(true), Config: gpuVM(), Check: same(&uuid)},
		testlab.Forget(address),
	)
}

// TestAGPUWorkerIsDestroyedWhenItsVMIsNamed: allow_destroy_uuid is applied first.
func TestAGPUWorkerIsDestroyedWhenItsVMIsNamed(t *testing.T) {
	l := testlab.New(t)
	file, uuid := filepath.Join(t.TempDir(), "main.tf"), ""
	if err := os.WriteFile(file, []byte(gpuVM()), 0o600); err != nil { // it is written again when the UUID is known
		t.Fatal(err)
	}
	run(l, t,
		resource.TestStep{Config: gpuVM(), Check: resource.ComposeTestCheckFunc(keep(&uuid), func(*terraform.State) error {
			return os.WriteFile(file, []byte(gpuVM(fmt.Sprintf("allow_destroy_uuid = %q", uuid))), 0o600)
		})},
		resource.TestStep{
			ConfigFile:       func(config.TestStepConfigRequest) string { return file },
			ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: same(&uuid),
		},
	)
	if left := l.VMs("gpu-1"); len(left) > 0 {
		t.Errorf("VM %v still exists", left)
	}
}

// TestAWorkerThatExistsIsTakenIntoTheState: it was made by the command line, or by an
// apply that was killed.
func TestAWorkerThatExistsIsTakenIntoTheState(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	run(l, t, resource.TestStep{Config: gpuVM(), Check: keep(&uuid)}, testlab.Forget(address))
	run(l, t,
		resource.TestStep{Config: gpuVM(), ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: same(&uuid)},
		testlab.Forget(address),
	)
	if found := l.VMs("gpu-1"); len(found) != 1 {
		t.Errorf("there are the VMs %v", found)
	}
}

// TestATaintedEphemeralWorkerIsReplaced, a semi-persistent one is not.
func TestATaintedEphemeralWorkerIsReplaced(t *testing.T) {
	run(testlab.New(t), t,
		resource.TestStep{Config: plainVM()},
		resource.TestStep{Config: plainVM(), Taint: []string{address}, ConfigPlanChecks: planned(plancheck.ResourceActionDestroyBeforeCreate)},
	)
}

// TestCreateBeforeDestroyIsRefused: Terraform would take the old VM for the new one, and
// then destroy it.
func TestCreateBeforeDestroyIsRefused(t *testing.T) {
	l := testlab.New(t)
	const before = `lifecycle {
    create_before_destroy = true
  }`
	uuid := ""
	run(l, t,
		resource.TestStep{Config: plainVM(before), Check: keep(&uuid)},
		resource.TestStep{
			PreConfig: func() { l.Said() },
			Config:    plainVM(before), Taint: []string{address}, ExpectError: regexp.MustCompile(`\.origin: was\s+cty.StringVal\("Made"\),\s+but\s+now\s+cty.StringVal\("Taken"\)`),
		},
		resource.TestStep{
			PreConfig: func() {
				l.Expect("warning: Worker plain-1 exists already: VM 9100 on pve1 is proven to be this worker: it is taken into the state and not made again\n" +
					"→ if this is to replace the VM: remove create_before_destroy, because a worker has one VM")
			},
			Config: plainVM(before, `machine = { firmware = "BIOS" }`), ExpectError: regexp.MustCompile(`Worker plain-1 exists and differs`),
		},
		testlab.Forget(address),
	)
	if got := l.UUID("plain-1"); got != uuid {
		t.Errorf("the VM is %s, not %s", got, uuid)
	}
}

// TestAPoolWithAnotherWorkerIsRefused: the pool of a gpuworker_vm has one worker.
func TestAPoolWithAnotherWorkerIsRefused(t *testing.T) {
	l := testlab.New(t)
	run(l, t,
		resource.TestStep{Config: gpuVM(), ConfigPlanChecks: empty},
		resource.TestStep{
			Config: gpuVM() + `
resource "gpuworker_vm" "other" {
  name     = "other"
  pool     = "gpu-1"
  template = { name = "ubuntu-22.04" }
}`,
			ExpectError: regexp.MustCompile(`the\s+pool\s+gpu-1\s+has\s+another\s+worker`),
		},
		testlab.Forget(address),
	)
}
