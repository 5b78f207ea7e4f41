package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestAllWorkersOfAPoolGetTheirDriver, each through its own seed, which is exchanged.
func TestAllWorkersOfAPoolGetTheirDriver(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	l.Set("GPUWORKER_GUEST_DIR", testlab.GuestDir(t))
	made := strings.Replace(pool(twoGPUs+"\n"+`driver = { strategy = "Packages" }`), `{ name = "ubuntu-22.04" }`, `{ name = "ubuntu-22.04", os = "ubuntu-22.04" }`, 1)
	clean := func(*terraform.State) error {
		for _, name := range []string{"gpu-1", "gpu-2"} {
			if vm := fmt.Sprint(l.VM(name).Config); !strings.Contains(vm, "-clean.iso,media=cdrom") {
				return fmt.Errorf("%s has %s", name, vm)
			}
		}
		return nil
	}
	run(t, l, uuids,
		resource.TestStep{
			Config: made, ConfigPlanChecks: does(plancheck.ResourceActionCreate),
			Check: resource.ComposeTestCheckFunc(clean, has("driver.strategy", "Packages"), has("workers.gpu-2.state", "Running"), testlab.RememberUUIDs(uuids, address)),
		},
		resource.TestStep{Config: made, ConfigPlanChecks: updates},
	)
}
