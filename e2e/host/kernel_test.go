package host

import (
	"context"
	"io/fs"
	"testing"

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

// theRules are those that whatever plays a kernel in our tests is held to.
func theRules(t *testing.T, g *guest) {
	id := "10de 1eb8"
	if !g.nvidia {
		t.Skip("left out: the display driver matches the cards of QEMU by itself")
	}
	rules.Run(t, tree{t, g}, rules.World{
		Display: card, Sound: sound, Twin: twin, DisplayDriver: "bochs-drm", SoundDriver: "snd_hda_intel", ID: id,
	})
}
