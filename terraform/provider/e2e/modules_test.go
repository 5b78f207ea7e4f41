package e2e

import (
	"fmt"
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

func TestTheTestsOfTheModulesPass(t *testing.T) {
	for module, runs := range map[string]int{"gpu_worker": 34, "vm_ubuntu22": 28} {
		t.Run(module, func(t *testing.T) {
			l := testlab.Start(t, cardWithALetter)
			w := newWorkspace(t, "terraform/modules/"+module, login(l))
			w.start()
			w.says(w.do("test", "-no-color"), fmt.Sprintf("Success! %d passed, 0 failed.", runs))
			wantVMs(t, l, map[string]string{})
		})
	}
}
