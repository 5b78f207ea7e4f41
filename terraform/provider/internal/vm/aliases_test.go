package vm_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestOneProcessIsForOneCluster: Terraform starts a process for each provider block, but
// with TF_REATTACH_PROVIDERS, as here, all blocks have one. Then all workers would be made
// on one of the clusters.
func TestOneProcessIsForOneCluster(t *testing.T) {
	north, south := testlab.New(t), testlab.Start(t)
	config := ""
	for name, l := range map[string]*testlab.Lab{"north": north, "south": south} {
		config += fmt.Sprintf("provider \"gpuworker\" {\n  alias = %q\n  endpoint = %q\n  fingerprint = %q\n}\n", name, l.Endpoint, l.Fingerprint) +
			strings.NewReplacer(`"gpuworker_vm" "gpu"`, `"gpuworker_vm" "`+name+`"`, `"plain-1"`, `"`+name+`"`).Replace(plainVM("provider = gpuworker."+name))
	}
	run(north, t, resource.TestStep{Config: config, PlanOnly: true, ExpectError: regexp.MustCompile(
		`(?s)Error: The provider has two configurations.*hypervisor proxmox:\s+this\s+process\s+of\s+the\s+provider\s+already\s+has\s+another\s+configuration,\s+for\s+https://127.0.0.1:\d+\s+` +
			`→\s+with\s+TF_REATTACH_PROVIDERS,\s+use\s+one\s+provider\s+block`)})
}
