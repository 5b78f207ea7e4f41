package vm_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestANewAddressWithoutMovedIsRefused, and what the message advises keeps the VM.
func TestANewAddressWithoutMovedIsRefused(t *testing.T) {
	l := testlab.New(t)
	const other = "gpuworker_vm.other"
	renamed := strings.Replace(gpuVM(), `"gpuworker_vm" "gpu"`, `"gpuworker_vm" "other"`, 1)
	refused := testlab.Says("Worker gpu-1 would be replaced", `it is semi-persistent, and its resource is tainted, was named with -replace, or has another address in the
		configuration now; the VM and its disks would be lost
		→ terraform untaint keeps the VM, and so does moved { from = OLD, to = NEW } after a new address; gpuworker replace -f FILE gpu-1 replaces it deliberately, on the same card`)
	uuid := ""
	run(l, t,
		resource.TestStep{Config: gpuVM(), Check: keep(&uuid)},
		resource.TestStep{Config: renamed, ExpectError: refused},
		resource.TestStep{
			Config: renamed + "moved {\n  from = " + address + "\n  to = " + other + "\n}\n",
			Check:  resource.TestCheckResourceAttrPtr(other, "uuid", &uuid),
		},
		testlab.Forget(other),
	)
}
