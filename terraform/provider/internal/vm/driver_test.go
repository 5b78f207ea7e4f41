package vm_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// driverVM is a GPU worker whose driver gpuworker-guest installs.
func driverVM(driver string, more ...string) string {
	config := gpuVM(append([]string{driver}, more...)...)
	return strings.Replace(config, `{ name = "ubuntu-22.04" }`, `{ name = "ubuntu-22.04", os = "ubuntu-22.04" }`, 1)
}

// TestAWorkerGetsItsDriver: the strategy Packages brings a bootstrap without a word of it.
// The guest gets its seed and becomes a worker, then the clean seed replaces the first.
func TestAWorkerGetsItsDriver(t *testing.T) {
	l := testlab.New(t)
	l.Set("GPUWORKER_GUEST_DIR", testlab.GuestDir(t))
	clean := func(*terraform.State) error {
		if config := fmt.Sprint(l.VM("gpu-1").Config); !strings.Contains(config, "-clean.iso,media=cdrom") {
			return fmt.Errorf("the VM has %s", config)
		}
		return nil
	}
	run(l, t,
		resource.TestStep{
			Config: driverVM(`driver = { strategy = "Packages", branch = "580" }`), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
			Check: resource.ComposeTestCheckFunc(clean, has("state", "Running", "driver.strategy", "Packages", "drift.#", "0")),
		},
		testlab.Forget(address),
	)
}

// TestTheStorageOfSeedsIsThatOfTheProvider: the error names one that the cluster does not
// have.
func TestTheStorageOfSeedsIsThatOfTheProvider(t *testing.T) {
	l := testlab.New(t)
	l.Set("GPUWORKER_GUEST_DIR", testlab.GuestDir(t))
	l.Set("GPUWORKER_ISO_STORAGE", "no-such-storage")
	run(l, t, resource.TestStep{Config: driverVM(`driver = { strategy = "Packages" }`), ExpectError: regexp.MustCompile(`no-such-storage`)})
}

// TestTheGuestIsProvenByALaterApply, when nothing waits for it.
func TestTheGuestIsProvenByALaterApply(t *testing.T) {
	l := testlab.New(t)
	config := driverVM(`driver = { strategy = "Packages" }`, `wait_for_guest = "0s"`)
	provider := "provider \"gpuworker\" {\n  guest_dir = " + strconv.Quote(testlab.GuestDir(t)) + "\n}\n"
	run(l, t,
		resource.TestStep{Config: provider + config, Check: has("state", "Running"), ExpectNonEmptyPlan: true},
		resource.TestStep{Config: provider + strings.Replace(config, "0s", "10m", 1), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: has("state", "Running")},
		testlab.Forget(address),
	)
	if config := fmt.Sprint(l.VM("gpu-1").Config); !strings.Contains(config, "-clean.iso,media=cdrom") {
		t.Errorf("the VM has %s", config)
	}
}

// TestWithoutTheGuestProgramNothingIsMade: the provider of a test was built without the
// checksums of a release.
func TestWithoutTheGuestProgramNothingIsMade(t *testing.T) {
	l := testlab.New(t)
	run(l, t, resource.TestStep{
		Config:      driverVM(`driver = { strategy = "Packages" }`),
		ExpectError: regexp.MustCompile(`holds no\s+checksums\s+of\s+gpuworker-guest[\s\S]*guest_dir\s+of\s+the\s+provider`),
	})
	if made := l.VMs("gpu-1"); len(made) > 0 {
		t.Errorf("there are VMs %v", made)
	}
}

// TestWhatCannotWorkInAGuestIsRefusedAtThePlan, at its attribute.
func TestWhatCannotWorkInAGuestIsRefusedAtThePlan(t *testing.T) {
	for name, test := range map[string]struct {
		config       func(...string) string
		line, detail string
	}{
		"an empty package": {func(more ...string) string { return driverVM(more[0]) }, `driver = { strategy = "Packages", branch = "590" }`,
			`driver.branch: the packages of 590-server in Ubuntu are empty transitional packages that install another branch; write branch: "580"`},
		"a driver without a GPU": {plainVM, `driver = { strategy = "Operator" }`, `driver: the workers of the pool have no GPU, so they need no driver; remove it`},
		"a reboot at the first boot": {plainVM, `bootstrap = { cloud_init = { run_commands = ["reboot"] } }`,
			`bootstrap.cloud_init.run_commands[0]: reboots or stops the guest in the middle of its first boot. cloud-init marks its modules as done before it runs them, ` +
				`so the rest would never run, and the worker would never join; gpuworker-guest needs no reboot. Leave it out`},
		"a download without a checksum": {plainVM, `bootstrap = { delivery = "URL" }`, `bootstrap.download: is missing; delivery: URL needs url and sha256 of gpuworker-guest`},
	} {
		t.Run(name, func(t *testing.T) {
			run(testlab.New(t), t, resource.TestStep{
				Config: test.config(test.line), PlanOnly: true, ExpectError: testlab.Error(address, "The configuration is not valid", test.line, test.detail),
			})
		})
	}
}
