package host

import (
	"context"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/e2e/host/call"
	"github.com/gpuworker/gpuworker/e2e/host/rules"
)

// tree is a machine's files as package hosttree reads them; it can be written to.
type tree struct {
	t *testing.T
	g *guest
}

func (k tree) do(op call.Op, name, text string) (call.Reply, error) {
	r := k.g.do(k.t, call.Request{Op: op, Path: "/" + name, Text: text})
	switch {
	case r.Errno != 0:
		return r, &fs.PathError{Op: string(op), Path: name, Err: r.Errno}
	case r.Error != "":
		k.t.Fatalf("%s %s: %s", op, name, r.Error)
	}
	return r, nil
}

// ReadFile implements rules.Kernel.
func (k tree) ReadFile(name string) ([]byte, error) {
	r, err := k.do(call.Read, name, "")
	return []byte(r.Text), err
}

// ReadDir implements rules.Kernel.
func (k tree) ReadDir(name string) ([]string, error) {
	r, err := k.do(call.List, name, "")
	return r.Names, err
}

// Readlink implements rules.Kernel.
func (k tree) Readlink(name string) (string, error) {
	r, err := k.do(call.Readlink, name, "")
	return r.Text, err
}

// Write implements rules.Kernel.
func (k tree) Write(_ context.Context, name string, data []byte) error {
	r, err := k.do(call.Write, name, string(data))
	if r.Stuck {
		k.t.Fatalf("writing %q to %s does not return", data, name)
	}
	return err
}

// theRules runs the rules that the simulated kernel must follow too.
func theRules(t *testing.T, g *guest) {
	if !g.nvidia {
		t.Skip("left out: the display driver matches the cards of QEMU by itself")
	}
	w := rules.Devices{
		Display: card, Sound: sound, Second: twin, ID: "10de 1eb8",
		DisplayDriver: "bochs-drm", SoundDriver: "snd_hda_intel",
	}
	if len(g.names(t, "/sys/class/iommu")) == 0 {
		rules.Run(t, tree{t, g}, rules.WithoutIOMMU(w))
		return
	}
	rules.Run(t, tree{t, g}, rules.Rules(w))
}

// aGroupInUse: while a VM has a card, the kernel gives no driver of the host to the
// rest of its group.
func aGroupInUse(t *testing.T, g *guest) {
	g.give(t)
	defer g.takeBack(t)
	g.mustWrite(t, pciDevices+sound+"/driver_override", "\n")
	g.mustWrite(t, "/sys/bus/pci/drivers/vfio-pci/unbind", sound)
	release := g.hold(t)
	defer release()
	if r := g.write(t, "/sys/bus/pci/drivers/snd_hda_intel/bind", sound); r.Errno != syscall.EBUSY {
		t.Errorf("a driver of the host was bound into the group of a card that is held: %v", r.Errno)
	}
	if r := g.write(t, "/sys/bus/pci/drivers_probe", sound); r.Errno != syscall.EINVAL {
		t.Errorf("probing there is answered with %v", r.Errno)
	}
	if driver := g.leads(t, pciDevices+sound+"/driver"); driver != "" {
		t.Errorf("the sound is on %s", driver)
	}
}

// theCaptureReadsLikeTheHost reads a capture of the machine on the host of the tests.
func theCaptureReadsLikeTheHost(t *testing.T, g *guest) {
	const file = "/tmp/captured.txt"
	if r := g.tool(t, "capture", "-o", file); r.Code != 0 {
		t.Fatalf("capture: exit %d\n%s", r.Code, r.Stderr)
	}
	defer g.do(t, call.Request{Op: call.Remove, Path: file})
	live, captured := g.tool(t, "list", "-o", "json").Text, g.tool(t, "list", "-o", "json", "--root", file).Text
	if diff := cmp.Diff(strings.Split(live, "\n"), strings.Split(captured, "\n")); diff != "" {
		t.Errorf("live (-) and captured (+):\n%s", diff)
	}
	g.keep(t, "captured", g.read(t, file)+"\n")
}
