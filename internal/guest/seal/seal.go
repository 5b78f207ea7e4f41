// Package seal prepares a VM to become a template: it removes what must be different in
// each clone, and writes a marker that says what the template has.
package seal

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/action"
	"github.com/gpuworker/gpuworker/internal/guest/check"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/nvidia"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/machine"
)

// Options are what the operator says.
type Options struct {
	// Worker is the worker whose VM, or a copy of it, becomes a template; "" for a VM that
	// is no worker.
	Worker  string
	Program string // version of gpuworker-guest
	Now     time.Time
}

// Plan lists what seal does, in order. The machine-id is emptied last: after it the
// marker can be written again only from the marker itself.
func Plan(ctx context.Context, tree hosttree.Reader, runner run.Runner, g *look.Guest, o Options) ([]action.Action, error) {
	if err := refuse(g, o.Worker); err != nil {
		return nil, err
	}
	marker, err := machine.JSON(describe(ctx, runner, g, o))
	if err != nil {
		return nil, err
	}
	actions := []action.Action{{Verb: action.Write, File: relative(guest.MarkerFile), Data: marker, Mode: 0o644, Why: "says which kernel and driver the template has"}}
	actions = append(actions, remove(tree)...)
	return append(actions, machineIDs(tree, g)...), nil
}

func relative(file string) string { return strings.TrimPrefix(file, "/") }

// refuse protects workers: sealing one would take its identity.
func refuse(g *look.Guest, named string) error {
	problem := func(kind fault.Kind, why, fix string) error {
		return &fault.Error{Kind: kind, Doing: "seal", Why: why, Fix: fix}
	}
	switch {
	case g.OrdersFile.Hidden():
		return problem(fault.Denied, "the orders may not be read, so it is not known whether this is a worker", "run it as root")
	case g.MachineID.Hidden() || g.CattleID.Hidden():
		return problem(fault.Denied, "machine-id or cattle-id may not be read", "run it as root")
	case g.OrdersErr != nil:
		return problem(fault.Refused, "this is a worker, and its orders are damaged: "+g.OrdersErr.Error(), "if it is to become a template, remove "+guest.OrdersFile+" first")
	case g.Orders != nil && named == "":
		return problem(fault.Refused, "this VM is worker "+g.Orders.Worker+", or a copy of it", "a worker that is sealed cannot work any more; if it is to become a template, name it: --worker "+g.Orders.Worker)
	case g.Orders != nil && named != g.Orders.Worker:
		return problem(fault.Refused, "this VM is worker "+g.Orders.Worker+", or a copy of it, and not "+named, "log in to the right VM")
	case g.Orders == nil && named != "":
		return problem(fault.NotFound, "this VM is no worker: it has no orders", "leave --worker out")
	}
	return nil
}

// modinfo asks for a field of the installed module, which need not be loaded: a template
// usually has no card.
func modinfo(field string) run.Command {
	return run.Command{Name: "modinfo", Args: []string{"-F", field, "nvidia"}, Timeout: time.Minute}
}

// describe makes the marker. What an earlier seal that was cut off has removed is taken
// from its marker.
func describe(ctx context.Context, runner run.Runner, g *look.Guest, o Options) guest.Template {
	t := guest.Template{
		Version: guest.Version, Program: o.Program, Kind: guest.NoDriver, Kernel: g.Kernel, OS: g.OS, Arch: runtime.GOARCH, Sealed: o.Now.UTC().Truncate(time.Second),
		MachineID: check.Digest(g.MachineID.Body), CattleID: check.Digest(g.CattleID.Body),
	}
	if old := g.Template; old != nil && t.MachineID == "" {
		t.MachineID = old.MachineID
	}
	if old := g.Template; old != nil && t.CattleID == "" {
		t.CattleID = old.CattleID
	}
	if loaded := g.Driver; loaded != nil {
		t.Driver, t.Kind = loaded.Version, kind(loaded.Open)
		return t
	}
	version := runner.Run(ctx, modinfo("version"))
	if number := nvidia.LibraryVersion(".so." + strings.TrimSpace(version.Output)); version.OK() && number != "" {
		license := runner.Run(ctx, modinfo("license"))
		// "Dual MIT/GPL" for the open modules, "NVIDIA" for the others.
		t.Driver, t.Kind = number, kind(license.OK() && strings.Contains(license.Output, "GPL"))
	}
	return t
}

func kind(open bool) guest.Flavour {
	if open {
		return guest.Open
	}
	return guest.Proprietary
}

// single are files that must be different in each clone.
var single = []struct{ file, why string }{
	{"etc/rancher/node/password", "a node with the password of another one is refused"},
	{"etc/rancher/agent/cattle-id", "Rancher takes two machines with one cattle-id for one"},
	{"var/lib/systemd/random-seed", "two machines must not begin with the same random numbers"},
	{relative(guest.OrdersFile), "the orders are for one VM"},
	{relative(guest.StatusFile), "the status is of one VM"},
	{relative(guest.LogFile), "the log is of one VM"},
}

// remove lists the files to remove, and cloud-init's own clean-up.
func remove(tree hosttree.Reader) []action.Action {
	var actions []action.Action
	names, _ := tree.ReadDir("etc/ssh") // without it there are no keys
	for _, name := range names {
		if strings.HasPrefix(name, "ssh_host_") {
			actions = append(actions, action.Action{Verb: action.Remove, File: path.Join("etc/ssh", name), Why: "each machine makes its own SSH host keys"})
		}
	}
	for _, s := range single {
		if there(tree, s.file) {
			actions = append(actions, action.Action{Verb: action.Remove, File: s.file, Why: s.why})
		}
	}
	if there(tree, "usr/bin/cloud-init") {
		clean := run.Command{Name: "cloud-init", Args: []string{"clean", "--logs"}, Timeout: 5 * time.Minute}
		actions = append(actions, action.Action{Verb: action.Run, Run: clean, Why: "so that cloud-init runs in each clone as at a first start"})
	}
	return actions
}

// machineIDs empties the machine-id: systemd makes a new one at the next start
// (machine-id(5)). A second copy, of D-Bus, is removed if it is no link.
func machineIDs(tree hosttree.Reader, g *look.Guest) []action.Action {
	var actions []action.Action
	const dbus = "var/lib/dbus/machine-id"
	if _, err := tree.Readlink(dbus); err != nil && there(tree, dbus) {
		actions = append(actions, action.Action{Verb: action.Remove, File: dbus, Why: "D-Bus takes the one of systemd"})
	}
	if g.MachineID.Value() != "" {
		actions = append(actions, action.Action{Verb: action.Empty, File: "etc/machine-id", Why: "each machine makes its own at its first start; keep the file: without it systemd would set defaults again"})
	}
	return actions
}

// there reports whether a file exists.
func there(tree hosttree.Reader, name string) bool {
	_, err := tree.ReadFile(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// Warnings are what seal cannot repair.
func Warnings(tree hosttree.Reader) []string {
	var warnings []string
	for _, dir := range []string{"var/lib/rancher/rke2/agent", "var/lib/rancher/k3s/agent"} {
		if _, err := tree.ReadDir(dir); err == nil {
			warnings = append(warnings, "this VM was a node of a cluster: /"+dir+" has its certificates; a new VM makes a better template")
		}
	}
	return warnings
}
