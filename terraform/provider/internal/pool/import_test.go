package pool_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestAPoolIsImported: the plan after the import has nothing to do.
func TestAPoolIsImported(t *testing.T) {
	l := testlab.New(t)
	const config = `
resource "gpuworker_pool" "plain" {
  name     = "plain"
  replicas = 2
  template = { name = "ubuntu-22.04" }
  machine  = { memory = "2Gi" }
}
`
	const address = "gpuworker_pool.plain"
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: l.Providers(),
		Steps: []resource.TestStep{
			{Config: config},
			{ResourceName: address, ImportState: true, ImportStateId: "plain", ImportStateVerify: true},
			{ResourceName: address, ImportState: true, ImportStateId: "/plain", ImportStateVerify: true},
			{ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithID, ImportStateId: "plain"},
			{ResourceName: address, ImportState: true, ImportStateId: "other", ExpectError: testlab.Text("The pool cannot be imported",
				`hypervisor proxmox: find the workers of pool other: there is no such worker
				→ gpuworker status -f FILE lists the workers`)},
		},
	})
}
