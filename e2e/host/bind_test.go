package host

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// journals is the directory of bind's journals.
const journals = "/var/lib/gpuworker-host/journal"

// own and given are the drivers of the card's functions, when free and when bound.
var (
	own   = []string{"bochs-drm", "snd_hda_intel"}
	given = []string{"vfio-pci", "vfio-pci"}
)

// drivers returns the current drivers of the card's functions.
func (g *guest) drivers(t *testing.T) []string {
	t.Helper()
	return []string{g.leads(t, pciDevices+card+"/driver"), g.leads(t, pciDevices+sound+"/driver")}
}

// has fails the test unless the card's functions are on these drivers, and the second
// card of the model is unchanged.
func (g *guest) has(t *testing.T, want []string) {
	t.Helper()
	if got := g.drivers(t); !slices.Equal(got, want) {
		t.Errorf("the card is on the drivers %q, not on %q", got, want)
	}
	node := slices.Contains(g.names(t, "/dev/vfio"), g.leads(t, pciDevices+card+"/iommu_group"))
	if slices.Equal(want, given) != node {
		t.Errorf("there is a node of the card's group in /dev/vfio: %t", node)
	}
	if driver := g.leads(t, pciDevices+twin+"/driver"); driver != "bochs-drm" {
		t.Errorf("the second card of the model was changed too: it is on %q", driver)
	}
}

// exits runs the tool and fails the test unless it ends with the code.
func (g *guest) exits(t *testing.T, code int, args ...string) call.Reply {
	t.Helper()
	r := g.tool(t, args...)
	if r.Code != code {
		t.Errorf("gpuworker-host %s: exit %d, not %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Text, r.Stderr)
	}
	return r
}

// clean fails the test unless a card's functions are as on a fresh host.
func (g *guest) clean(t *testing.T) {
	t.Helper()
	g.has(t, own)
	for _, bdf := range []string{card, sound} {
		if text := g.read(t, pciDevices+bdf+"/driver_override"); text != "(null)" {
			t.Errorf("%s still has the override %q", bdf, text)
		}
	}
}

func aPlanMovesNothing(t *testing.T, g *guest) {
	r := g.tool(t, "bind", card)
	for _, want := range []string{card, sound, "driver_override", "--yes"} {
		if !strings.Contains(r.Text+r.Stderr, want) {
			t.Errorf("the plan does not speak of %s:\n%s%s", want, r.Text, r.Stderr)
		}
	}
	g.clean(t)
	g.exits(t, 4, "assert", card, "--bound")
}

func aCardIsGivenAndTakenBack(t *testing.T, g *guest) {
	g.exits(t, 0, "bind", card, "--yes")
	g.has(t, given)
	g.exits(t, 0, "assert", card, "--bound")
	if r := g.exits(t, 0, "bind", card, "--yes"); strings.Contains(r.Text, "unbind\n") {
		t.Errorf("the second run changes something:\n%s", r.Text)
	}
	g.has(t, given)
	theListIsTheTruth(t, g)
	g.exits(t, 0, "unbind", card, "--yes")
	g.clean(t)
	g.exits(t, 4, "assert", card, "--bound")
	g.exits(t, 0, "unbind", card, "--yes")
	g.clean(t)
}

func aSharedGroupIsRefused(t *testing.T, g *guest) {
	r := g.exits(t, 3, "bind", shared, "--yes")
	if !strings.Contains(r.Text+r.Stderr, nic) {
		t.Errorf("the refusal does not name %s:\n%s%s", nic, r.Text, r.Stderr)
	}
	if driver := g.leads(t, pciDevices+shared+"/driver"); driver != "bochs-drm" {
		t.Errorf("the card is on %q", driver)
	}
}

func aCardInUseIsRefused(t *testing.T, g *guest) {
	g.exits(t, 0, "bind", card, "--yes")
	release := g.hold(t)
	if r := g.exits(t, 3, "unbind", card, "--yes"); !strings.Contains(r.Text+r.Stderr, "init") {
		t.Errorf("the refusal does not say who holds it:\n%s%s", r.Text, r.Stderr)
	}
	g.has(t, given)
	release()
	g.exits(t, 0, "unbind", card, "--yes")
	g.clean(t)
}

// aCardWithListenersIsRefused: a program that has the card's sound open would block
// the unbind.
func aCardWithListenersIsRefused(t *testing.T, g *guest) {
	release := g.listen(t)
	defer release()
	if r := g.exits(t, 3, "bind", card, "--yes"); !strings.Contains(r.Text+r.Stderr, control) {
		t.Errorf("the refusal does not say what is open:\n%s%s", r.Text, r.Stderr)
	}
	g.clean(t)
}

func withoutIOMMUItIsRefused(t *testing.T, g *guest) {
	r := g.exits(t, 3, "bind", card, "--yes")
	if !strings.Contains(r.Text+r.Stderr, "IOMMU") {
		t.Errorf("the refusal does not speak of the IOMMU:\n%s%s", r.Text, r.Stderr)
	}
	g.clean(t)
}

// cuts returns the moments at which a run is killed: when the driver of a function
// changes, and after half of its duration.
func cuts(micros int) []call.Kill {
	return []call.Kill{{Link: pciDevices + card + "/driver"}, {After: micros / 2}, {Link: pciDevices + sound + "/driver"}}
}

// killed runs the tool and kills it, with all its children, at a cut.
func (g *guest) killed(t *testing.T, cut call.Kill, before []string, args ...string) {
	t.Helper()
	r := g.do(t, call.Request{Op: call.Run, Argv: append([]string{"/bin/gpuworker-host"}, args...), Kill: &cut})
	now := g.drivers(t)
	t.Logf("%v killed at %+v: exit %d, drivers %q", args, cut, r.Code, now)
	if r.Code == -1 && !slices.Equal(now, before) && len(g.names(t, journals)) == 0 {
		t.Errorf("the card is on %q, but there is no journal", now)
	}
}

// killedAnywhereItGoesOn kills bind and unbind at several moments, and then runs the
// same command again, or the opposite one. Each run takes seconds on an emulated
// machine, so there are only a few moments here, and no files for the next boot; the
// tests with the simulator cover all of them.
func killedAnywhereItGoesOn(t *testing.T, g *guest) {
	bind, unbind := []string{"bind", card, "--yes", "--no-persist"}, []string{"unbind", card, "--yes"}
	binding, unbinding := g.exits(t, 0, bind...).Micros, g.exits(t, 0, unbind...).Micros
	for i, cut := range cuts(binding) {
		g.killed(t, cut, own, bind...)
		if i == 1 { // the opposite command, once
			g.exits(t, 0, unbind...)
			g.clean(t)
		}
		g.exits(t, 0, bind...)
		g.has(t, given)
		g.killed(t, cuts(unbinding)[i], given, unbind...)
		if i == 1 {
			g.exits(t, 0, bind...)
			g.has(t, given)
		}
		g.exits(t, 0, unbind...)
		g.clean(t)
	}
	if t.Failed() {
		for _, name := range g.names(t, journals) {
			t.Logf("%s:\n%s", name, g.read(t, journals+"/"+name))
		}
	}
}
