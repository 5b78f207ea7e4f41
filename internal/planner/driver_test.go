package planner

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

func withDriver(d v1alpha1.Driver) poolDoc {
	return func(p *v1alpha1.WorkerPool) { p.Spec.Driver = &d }
}

func hasFinding(findings []finding.Finding, id finding.ID) bool {
	return slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.ID == id })
}

// The card of a request by place is known only to the plan.
func TestAWrongDriverIsRefusedWhenTheCardIsKnown(t *testing.T) {
	world := Observed(Host("pve1", T4("03:00"), T4("04:00")), Template(9000, "ubuntu-22.04", "pve1"))
	world.Host("pve1").Device(CardRef("pve1", "03:00").Slot).Functions[0].ID = pci.MustID("10de:1db4")
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"), exact("pve1", "0000:04:00.0"), withDriver(v1alpha1.Driver{Strategy: v1alpha1.DriverPreinstalled, Branch: "595"}))
	p := Build(lab(world, gpu))
	if w := worker(t, p, "gpu-1"); w.Action != plan.Refuse || !hasFinding(w.Refusals, finding.CardDriver) {
		t.Errorf("the V100: %s, %v", w.Action, w.Refusals)
	}
	if w := worker(t, p, "gpu-2"); w.Action != plan.Create {
		t.Errorf("the T4: %s, %v", w.Action, w.Refusals)
	}
}

// A running worker is left alone when the document asks for a driver that its card does
// not work with, and its line says so. A stopped one is not started.
func TestAWrongDriverOfAnExistingWorker(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"), withDriver(v1alpha1.Driver{Strategy: v1alpha1.DriverPreinstalled, Branch: "595"}))
	for _, running := range []bool{true, false} {
		vm := made(gpu, 1, 9100, "pve1", "03:00")
		if running {
			vm.Running()
		}
		world := Observed(Host("pve1", T4("03:00")), Template(9000, "ubuntu-22.04", "pve1"), vm, claim(gpu, 1, 9100, "pve1", "03:00"))
		world.Host("pve1").Device(CardRef("pve1", "03:00").Slot).Functions[0].ID = pci.MustID("10de:1db4")
		w := worker(t, Build(lab(world, gpu)), "gpu-1")
		if running && (len(w.Steps) > 0 || !hasFinding(w.Notes, finding.CardDriver)) {
			t.Errorf("running: %s, notes %v, refusals %v", w.Action, w.Notes, w.Refusals)
		}
		if !running && (w.Action != plan.Refuse || !hasFinding(w.Refusals, finding.CardDriver)) {
			t.Errorf("stopped: %s, notes %v, refusals %v", w.Action, w.Notes, w.Refusals)
		}
	}
}
