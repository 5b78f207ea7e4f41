package vm_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestAWorkerThatAnotherResourceHasTakenIsNotDestroyed: with create_before_destroy, the new
// resource takes the VM that exists, and must not lose it when the old one is deleted.
func TestAWorkerThatAnotherResourceHasTakenIsNotDestroyed(t *testing.T) {
	l := testlab.New(t)
	uuid := ""
	config := plainVM("lifecycle {\n    create_before_destroy = true\n  }")
	run(l, t,
		resource.TestStep{Config: config, Check: keep(&uuid)},
		resource.TestStep{Config: config, Taint: []string{address}, ConfigPlanChecks: empty, Check: same(&uuid)},
		resource.TestStep{
			PreConfig: func() {
				if said := strings.Join(l.Said(), "\n"); !strings.Contains(said, "warning: Worker plain-1 is not destroyed: Another resource has taken it over in this apply") {
					t.Errorf("the provider said:\n%s", said)
				}
			},
			Config: config, PlanOnly: true,
		},
	)
}
