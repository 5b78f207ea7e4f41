package seal

import (
	"context"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/action"
	"github.com/gpuworker/gpuworker/internal/guest/check"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

const orders = `{"version":1,"program":"v","worker":"gpu-1","uuid":"6e3c9f0a-1111-4222-8333-123456789abc","driver":{"strategy":"None"}}`

// vm is a VM that is to become a template.
type vm struct{ tree *hosttree.Archive }

func newVM() vm {
	v := vm{hosttree.NewArchive()}
	for name, text := range map[string]string{
		"etc/os-release": "ID=ubuntu\nVERSION_ID=\"24.04\"", "proc/sys/kernel/osrelease": "6.8.0-45-generic",
		"etc/machine-id": "0d1c2b3a495867768594a3b2c1d0e0f1", "etc/rancher/agent/cattle-id": "a7c9e0", "etc/rancher/node/password": "x",
		"etc/ssh/ssh_host_rsa_key": "k", "etc/ssh/ssh_host_rsa_key.pub": "k", "etc/ssh/sshd_config": "c",
		"var/lib/systemd/random-seed": "r", "usr/bin/cloud-init": "", "var/lib/cloud/data/instance-id": "x",
		"var/log/gpuworker-guest.log": "l", "var/lib/gpuworker/status.json": "{}",
		run.Dir + "/modinfo -F version nvidia": "exit 0\n580.95.05", run.Dir + "/modinfo -F license nvidia": "exit 0\nDual MIT/GPL",
	} {
		v.tree.WriteFile(name, []byte(text+"\n"))
	}
	v.tree.Symlink("var/lib/dbus/machine-id", "../../../etc/machine-id")
	return v
}

func (v vm) Write(name string, data []byte, _ fs.FileMode) error {
	v.tree.WriteFile(name, data)
	return nil
}

func (v vm) Append(string, []byte, fs.FileMode) error { return nil }

func (v vm) Remove(name string) error {
	v.tree.Remove(name)
	return nil
}

func (v vm) Run(ctx context.Context, c run.Command) run.Result {
	if c.String() == "cloud-init clean --logs" {
		v.tree.Remove("var/lib/cloud")
		return run.Result{State: run.Ended}
	}
	return run.Captured{Tree: v.tree}.Run(ctx, c)
}

func (v vm) plan(t *testing.T, worker string) ([]action.Action, error) {
	t.Helper()
	g := look.Read(t.Context(), v.tree, v, look.Options{})
	return Plan(t.Context(), v.tree, v, g, Options{Worker: worker, Program: "v0.3.0", Now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)})
}

func (v vm) do(t *testing.T, actions []action.Action) {
	t.Helper()
	for _, a := range actions {
		if err := a.Do(t.Context(), v, v); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSealRemovesWhatMustDifferAndWritesTheMarker(t *testing.T) {
	v := newVM()
	actions, err := v.plan(t, "")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range actions {
		lines = append(lines, a.String())
	}
	want := []string{
		"write /var/lib/gpuworker/template.json", "remove /etc/ssh/ssh_host_rsa_key", "remove /etc/ssh/ssh_host_rsa_key.pub",
		"remove /etc/rancher/node/password", "remove /etc/rancher/agent/cattle-id", "remove /var/lib/systemd/random-seed",
		"remove /var/lib/gpuworker/status.json", "remove /var/log/gpuworker-guest.log", "run cloud-init clean --logs", "empty /etc/machine-id",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	v.do(t, actions)
	data, err := v.tree.ReadFile(relative(guest.MarkerFile))
	if err != nil {
		t.Fatal(err)
	}
	marker, err := guest.ParseTemplate(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&guest.Template{
		Version: 1, Program: "v0.3.0", Kind: guest.Open, Driver: "580.95.05", Kernel: "6.8.0-45-generic", OS: "ubuntu 24.04", Arch: marker.Arch,
		Sealed: marker.Sealed, MachineID: check.Digest("0d1c2b3a495867768594a3b2c1d0e0f1"), CattleID: check.Digest("a7c9e0"),
	}, marker); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(string(data), "0d1c2b3a495867768594a3b2c1d0e0f1") {
		t.Error("the marker has the machine-id itself")
	}
}

// Cut off after any number of its actions, a second seal ends with the same template.
func TestASealThatIsCutOffConverges(t *testing.T) {
	whole := newVM()
	actions, err := whole.plan(t, "")
	if err != nil {
		t.Fatal(err)
	}
	whole.do(t, actions)
	for n := range actions {
		v := newVM()
		first, err := v.plan(t, "")
		if err != nil {
			t.Fatal(err)
		}
		v.do(t, first[:n])
		again, err := v.plan(t, "")
		if err != nil {
			t.Fatal(err)
		}
		v.do(t, again)
		if diff := cmp.Diff(string(whole.tree.Format()), string(v.tree.Format())); diff != "" {
			t.Errorf("cut off after %d: %s", n, diff)
		}
	}
}

func TestAWorkerIsSealedOnlyByItsName(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*hosttree.Archive)
		worker string
		kind   fault.Kind // "" when it is sealed
	}{
		"a worker":                {func(a *hosttree.Archive) { a.WriteFile("etc/gpuworker/orders.json", []byte(orders)) }, "", fault.Refused},
		"another one is named":    {func(a *hosttree.Archive) { a.WriteFile("etc/gpuworker/orders.json", []byte(orders)) }, "gpu-2", fault.Refused},
		"it is named":             {func(a *hosttree.Archive) { a.WriteFile("etc/gpuworker/orders.json", []byte(orders)) }, "gpu-1", ""},
		"damaged orders":          {func(a *hosttree.Archive) { a.WriteFile("etc/gpuworker/orders.json", []byte("{")) }, "gpu-1", fault.Refused},
		"orders that are hidden":  {func(a *hosttree.Archive) { a.Deny("etc/gpuworker/orders.json") }, "", fault.Denied},
		"a machine-id is hidden":  {func(a *hosttree.Archive) { a.Deny("etc/machine-id") }, "", fault.Denied},
		"no worker, and one name": {func(*hosttree.Archive) {}, "gpu-1", fault.NotFound},
	} {
		v := newVM()
		test.change(v.tree)
		if _, err := v.plan(t, test.worker); fault.KindOf(err) != test.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATemplateWithoutADriverSaysSo(t *testing.T) {
	v := newVM()
	v.tree.Remove(run.Dir)
	actions, err := v.plan(t, "")
	if err != nil {
		t.Fatal(err)
	}
	var marker guest.Template
	if err := json.Unmarshal(actions[0].Data, &marker); err != nil || marker.Kind != guest.NoDriver || marker.Driver != "" {
		t.Errorf("%+v, %v", marker, err)
	}
}

func TestAFormerNodeOfAClusterIsNamed(t *testing.T) {
	v := newVM()
	if w := Warnings(v.tree); len(w) != 0 {
		t.Errorf("%q", w)
	}
	v.tree.WriteFile("var/lib/rancher/rke2/agent/client-kubelet.crt", nil)
	if w := Warnings(v.tree); len(w) != 1 {
		t.Errorf("%q", w)
	}
}
