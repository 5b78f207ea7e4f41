package planner

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Advice in a backend's own words names the VM and the host of the plan.
func TestAdviceOfABackendNamesTheVMOfThePlan(t *testing.T) {
	one, plain := pool("gpu", exact("pve1", "0000:03:00.0")), pool("w", replicas(1))
	build := func(world *inventory.Snapshot) []string { return fixes(Build(lab(world, one, plain))) }
	adopt := func(world *inventory.Snapshot) []string {
		p, err := BuildAdopt(lab(world, one), "204", "gpu-1")
		if err != nil {
			return []string{fault.FixOf(err)}
		}
		return fixes(p)
	}
	for _, s := range []struct {
		name   string
		remedy inventory.Remedy
		words  string
		world  *inventory.Snapshot
		plan   func(*inventory.Snapshot) []string
		fix    string
	}{
		{"a second card", inventory.TakeRestOut, "empty {vm} on {host}",
			twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00").Card("04:00").Running()),
			build, "empty 9100 on pve1"},
		{"a VM that left its card behind", inventory.MoveBack, "move {vm} from {host} to {to}",
			twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve2", "").For("03:00").Record(func(r *inventory.Record) { r.Host = "pve1" })),
			build, "move 9100 from pve2 to pve1"},
		{"a clone that died", inventory.RemoveClone, "remove {vm} on {host}",
			twoT4s(InFlight(9100, "pve2").Stuck()),
			build, "remove 9100 on pve2"},
		{"two VMs of one worker", inventory.RemoveDuplicate, "choose {vm} on {host}",
			twoT4s(made(plain, 1, 9100, "pve1", "").Running(), made(plain, 1, 9101, "pve2", "")),
			build, "choose 9101 on pve2"},
		{"a worker that was renamed", inventory.GiveNameBack, "name {vm} on {host} {name}",
			twoT4s(made(plain, 1, 9100, "pve1", "").Change(func(vm *inventory.VM) { vm.Name = "web" })),
			build, "name 9100 on pve1 w-1"},
		{"a VM to adopt without the declared card", inventory.LookAtVM, "look at {vm} on {host}",
			twoT4s(VM(204, "vdi", "pve1")), adopt, "look at 204 on pve1"},
		{"a VM to adopt without a UUID", inventory.GiveUUID, "number {vm} on {host}",
			twoT4s(VM(204, "vdi", "pve1").Card("03:00").Change(func(vm *inventory.VM) { vm.UUID = "" })), adopt, "number 204 on pve1"},
	} {
		t.Run(s.name, func(t *testing.T) {
			s.world.Advice = inventory.Advice{s.remedy: s.words}
			if got := s.plan(s.world); !slices.Contains(got, s.fix) {
				t.Errorf("nothing says %q: %q", s.fix, got)
			}
		})
	}
}

// fixes is all that a plan tells a person to do.
func fixes(p *plan.Plan) []string {
	var fixes []string
	for _, f := range p.Findings {
		fixes = append(fixes, f.Fix)
	}
	for w := range p.Workers() {
		for _, f := range slices.Concat(w.Refusals, w.Notes) {
			fixes = append(fixes, f.Fix)
		}
	}
	return fixes
}
