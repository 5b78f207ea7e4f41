package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// oneHost leaves only pve1 with its VMs: enough for one or two workers, and much fewer
// requests.
func oneHost(w *pvesim.World) {
	w.Hosts = w.Hosts[:1]
	w.VMs = slices.DeleteFunc(slices.Clone(w.VMs), func(vm pvesim.VM) bool { return vm.Host != "pve1" })
	w.Mappings = nil
}

// noThirdHost leaves pve1 and pve2.
func noThirdHost(w *pvesim.World) {
	w.Hosts = w.Hosts[:2]
	w.VMs = slices.DeleteFunc(slices.Clone(w.VMs), func(vm pvesim.VM) bool { return vm.Host == "pve3" })
}

// madeWorlds are the worlds of oneHost in which some documents were applied, by
// document.
var madeWorlds sync.Map

// made is the world of oneHost after an apply of the documents, so that a test does not
// have to apply them each time. Call it inside a bubble.
func made(t *testing.T, documents string) func(*pvesim.World) {
	t.Helper()
	known, ok := madeWorlds.Load(documents)
	if !ok {
		l := newLab(t, oneHost)
		l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
		world, err := homelab()
		l.must(err)
		oneHost(&world)
		world, err = world.Continued(l.sim.State(), pvesim.Guest{OS: "ubuntu", Agent: true})
		l.must(err)
		known, _ = madeWorlds.LoadOrStore(documents, world)
	}
	return func(w *pvesim.World) {
		oneHost(w)
		w.VMs, w.Mappings = known.(pvesim.World).VMs, known.(pvesim.World).Mappings
	}
}
