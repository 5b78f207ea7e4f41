package pool_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestTwoResourcesWithTheSameWorkersAreRefused: each would undo what the other does.
func TestTwoResourcesWithTheSameWorkersAreRefused(t *testing.T) {
	const (
		vmOne   = "resource \"gpuworker_vm\" \"one\" {\n  name = \"w-1\"\n  template = { name = \"ubuntu-22.04\" }\n}\n"
		vmTwo   = "resource \"gpuworker_vm\" \"two\" {\n  name = \"w-1\"\n  template = { name = \"ubuntu-22.04\" }\n  machine = { cores = 8 }\n}\n"
		poolOne = "resource \"gpuworker_pool\" \"one\" {\n  name = \"w-1\"\n  template = { name = \"ubuntu-22.04\" }\n  replicas = 2\n}\n"
		poolTwo = "resource \"gpuworker_pool\" \"two\" {\n  name = \"w-1\"\n  template = { name = \"ubuntu-22.04\" }\n  replicas = 1\n}\n"
		want    = "pool w-1 is in two resources; each would undo what the other does\n" +
			"→ give each its own name and pool, or remove one of them: removed { lifecycle { destroy = false } } keeps the VMs"
	)
	for name, config := range map[string]string{"two VMs": vmOne + vmTwo, "two pools": poolOne + poolTwo, "a VM and a pool": vmOne + poolTwo} {
		t.Run(name, func(t *testing.T) {
			run(t, testlab.New(t), nil, resource.TestStep{Config: config, PlanOnly: true, ExpectError: testlab.Says("Two resources have the same workers", want)})
		})
	}
}
