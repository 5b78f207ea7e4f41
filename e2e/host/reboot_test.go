package host

import (
	"maps"
	"testing"
)

// moved is the board with the cards in other slots: a network card is in the slot of
// the card, and the card is in the slot of the second one.
var moved = []string{
	"pcie-root-port,id=port1,bus=pcie.0,addr=4,chassis=1",
	"e1000,bus=port1,addr=0.0,romfile=",
	"pcie-root-port,id=port2,bus=pcie.0,addr=5,chassis=2",
	"bochs-display,bus=port2,addr=0.0,multifunction=on",
	"intel-hda,bus=port2,addr=0.1",
}

// afterAReboot boots machines with the files that bind wrote on this one.
func afterAReboot(t *testing.T, g *guest) {
	g.exits(t, 0, "bind", card, "--yes")
	left := g.files(t, "/etc/gpuworker-host")
	maps.Copy(left, g.files(t, "/var/lib/gpuworker-host"))
	g.exits(t, 0, "unbind", card, "--yes")
	g.clean(t)
	for name := range g.files(t, "/etc/gpuworker-host") {
		t.Errorf("unbind leaves %s", name)
	}

	t.Run("at the same place", func(t *testing.T) {
		t.Parallel()
		again := intel
		again.name, again.files = "rebooted", left
		g := boot(t, again)
		g.has(t, given)
		g.exits(t, 0, "assert", card, "--bound")
		g.exits(t, 0, "bind", card, "--yes")
		g.exits(t, 0, "unbind", card, "--yes")
		g.clean(t)
	})
	t.Run("but not what is in its place now", func(t *testing.T) {
		t.Parallel()
		other := intel
		other.name, other.files, other.cards = "moved", left, moved
		g := boot(t, other)
		for bdf, want := range map[string]string{card: "e1000", twin: "bochs-drm"} {
			if driver := g.leads(t, pciDevices+bdf+"/driver"); driver != want {
				t.Errorf("%s is on %q, not on %q", bdf, driver, want)
			}
		}
		if r := g.tool(t, "assert", card, "--bound"); r.Code == 0 {
			t.Errorf("a network card is mistaken for the bound card: %s", r.Text)
		}
	})
}
