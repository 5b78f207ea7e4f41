package host

import (
	"strings"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// give binds the card to vfio-pci without gpuworker-host.
func (g *guest) give(t *testing.T) {
	t.Helper()
	for bdf, driver := range map[string]string{card: "bochs-drm", sound: "snd_hda_intel"} {
		g.mustWrite(t, pciDevices+bdf+"/driver_override", "vfio-pci")
		g.mustWrite(t, "/sys/bus/pci/drivers/"+driver+"/unbind", bdf)
		g.mustWrite(t, "/sys/bus/pci/drivers_probe", bdf)
	}
}

// takeBack binds both functions to their own drivers again.
func (g *guest) takeBack(t *testing.T) {
	t.Helper()
	for _, bdf := range []string{card, sound} {
		g.mustWrite(t, pciDevices+bdf+"/driver_override", "\n")
		if driver := g.leads(t, pciDevices+bdf+"/driver"); driver != "" {
			g.mustWrite(t, "/sys/bus/pci/drivers/"+driver+"/unbind", bdf)
		}
		g.mustWrite(t, "/sys/bus/pci/drivers_probe", bdf)
	}
}

// hold holds the card like a VM, and returns the function that releases it.
func (g *guest) hold(t *testing.T) (release func()) {
	t.Helper()
	node := "/dev/vfio/" + g.leads(t, pciDevices+card+"/iommu_group")
	if r := g.do(t, call.Request{Op: call.Hold, Path: node, Text: card}); r.Error != "" {
		t.Fatal(r.Error)
	}
	return func() { g.do(t, call.Request{Op: call.Release, Path: node}) }
}

func whoHoldsACardIsNamed(t *testing.T, g *guest) {
	g.give(t)
	defer g.takeBack(t)
	release := g.hold(t)
	defer release()
	l := g.list(t)
	if got := l.Cards[0].Holders; len(got) != 1 || got[0] != (holder{1, "init"}) {
		t.Errorf("process 1 holds the card, the list says %+v", got)
	}
	if text := g.tool(t, "list").Text; !strings.Contains(row(text, card), "init (1)") {
		t.Errorf("the table does not say it:\n%s", text)
	}
}

// control is the device file of the card's sound.
const control = "/dev/snd/controlC0"

// listen keeps the card's sound open, and returns the function that closes it.
func (g *guest) listen(t *testing.T) (release func()) {
	t.Helper()
	// The driver finds its codecs only after it is bound.
	for _, op := range []call.Op{call.Await, call.Hold} {
		if r := g.do(t, call.Request{Op: op, Path: control}); r.Error != "" {
			t.Fatal(r.Error)
		}
	}
	return sync.OnceFunc(func() { g.do(t, call.Request{Op: call.Release, Path: control}) })
}

// whoListensIsNamed holds the sound of the card, which would block an unbind too.
func whoListensIsNamed(t *testing.T, g *guest) {
	release := g.listen(t)
	defer release()
	if got := g.list(t).Cards[0].Holders; len(got) != 1 || got[0] != (holder{1, "init"}) {
		t.Errorf("process 1 has the sound open, the list says %+v", got)
	}
	unbind := call.Request{Op: call.Write, Path: "/sys/bus/pci/drivers/snd_hda_intel/unbind", Text: sound, Patience: 500}
	if r := g.do(t, unbind); !r.Stuck {
		t.Errorf("so the kernel does not wait for who has the sound open: %+v", r)
	}
	release()
	g.settled(t, sound)
	g.mustWrite(t, "/sys/bus/pci/drivers_probe", sound)
}

// settled waits until no operation on a function is running: reading its override
// needs its lock. drivers_probe does not wait for the lock while there is a driver.
func (g *guest) settled(t *testing.T, bdf string) {
	t.Helper()
	g.read(t, pciDevices+bdf+"/driver_override")
}

// aLockedDeviceHidesNothing unbinds a card that is in use: like with a driver that
// hangs, the kernel keeps the card's lock until the card is released, and a process
// that reads the card's override hangs too.
func aLockedDeviceHidesNothing(t *testing.T, g *guest) {
	g.give(t)
	defer g.takeBack(t)
	release := g.hold(t)
	defer release()
	unbind := call.Request{Op: call.Write, Path: "/sys/bus/pci/drivers/vfio-pci/unbind", Text: card, Patience: 500}
	if r := g.do(t, unbind); !r.Stuck {
		t.Fatalf("the unbind of a held card returned: %+v", r)
	}
	if r := g.do(t, call.Request{Op: call.Read, Path: pciDevices + card + "/driver_override", Patience: 500}); !r.Stuck {
		t.Fatalf("the override of a locked card was read: %+v", r)
	}
	for range 2 {
		r := g.tool(t, "list")
		if !strings.Contains(r.Text, card+": driver_override could not be read: the kernel does not answer") || row(r.Text, twin) == "" {
			t.Errorf("list does not say that the card is locked, or not what else there is: exit %d\n%s%s", r.Code, r.Text, r.Stderr)
		}
		if waits := g.named(t, card); len(waits) != 1 || !strings.Contains(waits[0], ") D ") {
			t.Errorf("one process waits for the card, however often it is asked; there are %q", waits)
		}
	}
}

// named returns the states of the processes with this name.
func (g *guest) named(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	for _, pid := range g.names(t, "/proc") {
		if stat := g.read(t, "/proc/"+pid+"/stat"); strings.Contains(stat, "("+name+")") {
			found = append(found, stat)
		}
	}
	return found
}
