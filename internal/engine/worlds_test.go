package engine_test

import (
	"context"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestMain lets the garbage wait: the worlds of these tests are many, small and
// short-lived.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// oneHost leaves only pve1 and what is on it: enough for a worker or two, and
// much less to ask for.
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

// madeWorlds are the VMs and mappings that applying some documents makes in the
// world of oneHost, by document.
var madeWorlds sync.Map

type madeWorld struct {
	vms      []pvesim.VM
	mappings []pvesim.Mapping
}

// made is the world of oneHost in which the documents were applied already: a
// test that begins there need not do it each time. Call it inside a bubble.
func made(t *testing.T, documents string) func(*pvesim.World) {
	t.Helper()
	known, ok := madeWorlds.Load(documents)
	if !ok {
		l := newLab(t, oneHost)
		l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
		state, there := l.sim.State(), &madeWorld{}
		for id, vm := range state.VMs {
			if recordOf(vm) == nil {
				continue
			}
			config := map[string]any{}
			for key, value := range vm.Config {
				config[key] = value
			}
			there.vms = append(there.vms, pvesim.VM{ID: id, Host: vm.Host, Running: vm.Running, Config: config, Guest: pvesim.Guest{OS: "ubuntu", Agent: true}})
		}
		for _, mapping := range state.Mappings {
			there.mappings = append(there.mappings, pvesim.Mapping(mapping))
		}
		madeWorlds.Store(documents, there)
		known = there
	}
	return func(w *pvesim.World) {
		oneHost(w)
		w.VMs = append(w.VMs, known.(*madeWorld).vms...)
		w.Mappings = known.(*madeWorld).mappings
	}
}
