package pvesim

import (
	"strings"
	"testing"
)

func TestAFleetIsAWorldThatWorks(t *testing.T) {
	fleet, err := ParseFleet("3+2x4x5")
	if err != nil || fleet != (Fleet{Hosts: 3, Plain: 2, GPUs: 4, VMs: 5}) {
		t.Fatal(fleet, err)
	}
	play(t, func(t *testing.T) {
		sim := newSim(t, fleet.World())
		state := sim.State()
		if len(state.Hosts) != 5 || len(state.VMs) != 25 {
			t.Errorf("%d hosts, %d VMs", len(state.Hosts), len(state.VMs))
		}
		engine := sim.as(t, "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111")
		if got := strings.Count(engine.do("GET", "/nodes/h002/hardware/pci").body, "Tesla T4"); got != 4 {
			t.Errorf("h002 has %d GPUs", got)
		}
		if strings.Contains(engine.do("GET", "/nodes/h003/hardware/pci").body, "Tesla T4") {
			t.Error("h003 has GPUs")
		}
	})
}

func TestSizesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "3", "3x4", "3x4x5x6", "ax4x5", "-1x4x5", "0x4x5", "3x4x0", "3+x4x5", "9999x1x1"} {
		if fleet, err := ParseFleet(text); err == nil {
			t.Errorf("%q is taken as %+v", text, fleet)
		}
	}
}
