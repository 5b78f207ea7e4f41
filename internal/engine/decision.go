package engine

import (
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/status"
)

// decided are the plans for all pools that were declared at one moment, by whether
// semi-persistent workers may be restarted.
type decided struct {
	declared           int
	seen               *seen
	world              *inventory.Snapshot // what was observed, and what other work intends
	documents          *v1alpha1.Documents
	problems, warnings []v1alpha1.Problem
	plans              map[bool]*plan.Plan
}

// applyRequest is the request of all decisions.
func applyRequest(allowRestart bool) plan.Request {
	return plan.Request{Verb: plan.ApplyDocuments, AllowRestart: allowRestart}
}

// plan makes the plan at the first call.
func (d *decided) plan(allowRestart bool) *plan.Plan {
	if d.plans[allowRestart] == nil {
		d.plans[allowRestart] = planner.Build(inputOf(d.documents, &d.documents.Hypervisors[0], d.world, applyRequest(allowRestart)))
	}
	return d.plans[allowRestart]
}

// Decision is what is decided for the workers of one pool.
type Decision struct {
	Hypervisor string
	// Workers have one entry for each declared worker, and one for each other VM of the
	// pool.
	Workers []Decided
	// Warnings are about the document.
	Warnings []v1alpha1.Problem

	all  *decided
	plan *plan.Plan
}

// Decided is what is decided for one worker, and what was observed of it. Several
// goroutines may have it: do not change what it points to.
type Decided struct {
	plan.Worker
	VM    *inventory.VM // nil when there is none
	State status.State
	Group int // IOMMU group of the card; pci.NoGroup when it is not known
}

// Hidden says why a worker without a VM in this decision may still have one; "" when it
// certainly has none. id is the identifier that its VM had, "" when it is not known.
func (d *Decision) Hidden(worker, id string) string {
	for i := range d.Workers {
		w := &d.Workers[i]
		if w.Name != worker || w.VM != nil {
			continue
		}
		at := slices.IndexFunc(w.Refusals, func(f finding.Finding) bool { return f.ID == finding.VMUnreadable })
		switch {
		case w.Action == plan.Wait:
			return w.Reason
		case at >= 0:
			return w.Refusals[at].Reason
		}
	}
	for i := range d.all.seen.snapshot.VMs {
		vm := &d.all.seen.snapshot.VMs[i]
		switch {
		case vm.ID != id && vm.Name != worker:
		case vm.Unreadable != "":
			return fmt.Sprintf("VM %s on %s cannot be read: %s", vm.ID, vm.Home(), vm.Unreadable)
		case vm.Skipped && slices.Contains(vm.Tags, inventory.OwnerTag):
			return fmt.Sprintf("VM %s on %s was not read", vm.ID, vm.Home())
		}
	}
	return ""
}

// decideAll checks all pools together.
func decideAll(seen *seen, world *inventory.Snapshot, documents *v1alpha1.Documents, declared int) *decided {
	d := &decided{declared: declared, seen: seen, world: world, documents: documents, plans: map[bool]*plan.Plan{}}
	d.warnings, d.problems = documents.Validate()
	return d
}

// of is the decision for one pool.
func (d *decided) of(key PoolKey, allowRestart bool) (Decision, error) {
	one := Decision{Hypervisor: d.documents.Hypervisors[0].Name, all: d}
	at := slices.IndexFunc(d.documents.WorkerPools, func(p v1alpha1.WorkerPool) bool { return KeyOf(&p) == key })
	ofPool := func(list []v1alpha1.Problem) []v1alpha1.Problem {
		return slices.DeleteFunc(slices.Clone(list), func(p v1alpha1.Problem) bool { return p.Field.Kind != "WorkerPool" || p.Field.Index != at })
	}
	one.Warnings = ofPool(d.warnings)
	if problems := ofPool(d.problems); len(problems) > 0 {
		return one, &ProblemsError{problems}
	}
	one.plan = d.plan(allowRestart)
	for i := range one.plan.Pools {
		if p := &one.plan.Pools[i]; (PoolKey{p.Name, p.KubeCluster}) == key {
			for _, w := range p.Workers {
				one.Workers = append(one.Workers, d.decidedOf(w))
			}
		}
	}
	return one, nil
}

func (d *decided) decidedOf(w plan.Worker) Decided {
	of, world := Decided{Worker: w, Group: pci.NoGroup}, d.world
	if w.Ref != nil {
		of.VM = world.VM(w.Ref.ID)
	}
	if host := world.Host(w.Card.Host); host != nil {
		if device := host.Device(w.Card.Slot); device != nil {
			of.Group = device.Functions[0].Group
		}
	}
	of.State = status.StateOf(&w, of.VM)
	return of
}

// ReplaceOnly are the fields of a WorkerPool that cannot be changed while the VM stays,
// whatever their values are: template, machine.firmware.
func ReplaceOnly() []string { return planner.ReplaceOnly() }
