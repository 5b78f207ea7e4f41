package vm_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestAWorkerKeepsItsCard: another card, or none, is refused with the reason.
func TestAWorkerKeepsItsCard(t *testing.T) {
	l := testlab.New(t)
	refused := func(config, wants string) []resource.TestStep {
		said := func() {
			want := "error: Worker gpu-1 cannot be planned: gpu-1: the VM of the worker has card pve1/0000:03:00.0, the configuration asks for " + wants +
				"; a worker keeps its card as long as its VM exists\n→ undo the change of gpu; or destroy the VM first, and its disks with it: " +
				"apply allow_destroy_uuid = \"" + l.UUID("gpu-1") + "\", remove the resource, apply, and declare it again"
			if got := strings.Join(l.Said(), "\n\n"); !strings.Contains(got, want) {
				t.Errorf("the provider said:\n%s\nwant:\n%s", got, want)
			}
		}
		return []resource.TestStep{
			{Config: config, PlanOnly: true, ExpectError: regexp.MustCompile("Worker gpu-1 cannot be planned")},
			{PreConfig: said, Config: gpuVM(), PlanOnly: true},
		}
	}
	steps := []resource.TestStep{{Config: gpuVM()}}
	steps = append(steps, refused(strings.Replace(gpuVM(), `"pve1"`, `"pve2"`, 1), "another card")...)
	steps = append(steps, refused(strings.Replace(gpuVM(), `gpu      = { bdf = "0000:03:00.0" }`, "", 1), "none")...)
	run(l, t, append(steps, testlab.Forget(address))...)
}
