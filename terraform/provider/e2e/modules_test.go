package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// cardWithALetter gives the RTX 3090 of pve1 a group of its own, and an address with a
// letter in it, 0000:4a:00.0.
func cardWithALetter(world *pvesim.World) {
	aloneInItsGroup(world)
	for i := range world.Hosts {
		for j, function := range world.Hosts[i].PCI {
			if rest, is := strings.CutPrefix(function.Address, "0000:41:00"); is {
				world.Hosts[i].PCI[j].Address = "0000:4a:00" + rest
			}
		}
	}
}

// testFiles are the files with tests of modules, and their numbers of runs.
var testFiles = map[string]int{
	"gpu_worker/tests/driver.tftest.hcl": 2, "gpu_worker/tests/defaults.tftest.hcl": 3, "gpu_worker/tests/options.tftest.hcl": 2, "gpu_worker/tests/validation.tftest.hcl": 29,
	"vm_ubuntu22/tests/defaults.tftest.hcl": 2, "vm_ubuntu22/tests/options.tftest.hcl": 1, "vm_ubuntu22/tests/validation.tftest.hcl": 25,
}

// TestTheTestsOfTheModulesPass, each file against its own cluster.
func TestTheTestsOfTheModulesPass(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(filepath.Join(root, "terraform/modules/*/tests/*.tftest.hcl"))
	must(t, err)
	if len(found) != len(testFiles) {
		t.Errorf("there are the files %q, want %d", found, len(testFiles))
	}
	for file, runs := range testFiles {
		t.Run(file, func(t *testing.T) {
			l := testlab.Start(t, cardWithALetter)
			module, name, _ := strings.Cut(file, "/")
			w := newWorkspace(t, "terraform/modules/"+module, login(l))
			w.start()
			w.says(w.do("test", "-no-color", "-filter="+name), fmt.Sprintf("Success! %d passed, 0 failed.", runs))
			if testlab.Tested(t).OpenTofu && module == "gpu_worker" && name != "tests/validation.tftest.hcl" {
				t.Log("not checked with OpenTofu: 1.12.6 destroys nothing at the end when the last run has an output of an earlier run in a variable")
				return
			}
			wantVMs(t, l, map[string]string{})
		})
	}
}
