package pvesim_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

func TestAWorldThatIsContinuedAtOnceIsUnchanged(t *testing.T) {
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	state := func(w pvesim.World) pvesim.State {
		sim, err := pvesim.New(w)
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		return sim.State()
	}
	before := state(world)
	again, err := world.Continued(before, pvesim.Guest{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, state(again), cmpopts.IgnoreFields(pvesim.HostState{}, "Booted")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	for id, vm := range before.VMs {
		vm.Lock = "backup"
		before.VMs[id] = vm
		break
	}
	if _, err := world.Continued(before, pvesim.Guest{}); err == nil {
		t.Error("a locked VM was continued")
	}
}
