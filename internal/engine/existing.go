package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// Existing returns the workers for which match is true as a pool, with their VMs. The
// document has only what is necessary: all that is the same without it is left out. A VM
// that is not proven to be ours is a fault.Refused, no VM a fault.NotFound; wanted says in
// the error what was looked for.
func (s *Session) Existing(ctx context.Context, wanted string, match func(*inventory.VM) bool) (*v1alpha1.WorkerPool, []*inventory.VM, error) {
	world, err := s.Observe(ctx)
	if err != nil {
		return nil, nil, err
	}
	part := &inventory.Snapshot{} // the workers and the templates
	var ours []*inventory.VM
	var other *inventory.VM
	for i := range world.VMs {
		vm := &world.VMs[i]
		ownership, _ := vm.Ownership()
		switch {
		case vm.Template:
			part.VMs = append(part.VMs, *vm)
		case !match(vm):
		case ownership == inventory.Ours:
			ours, part.VMs = append(ours, vm), append(part.VMs, *vm)
		default:
			other = vm
		}
	}
	if len(ours) == 0 {
		return nil, nil, s.notOurs(wanted, other)
	}
	pool, err := s.shortest(world, &exportPools(s.hypervisor.Name, part)[0])
	return pool, ours, err
}

// notOurs is the error for a VM that is no worker; vm is nil when there is none.
func (s *Session) notOurs(wanted string, vm *inventory.VM) error {
	e := &fault.Error{
		Kind: fault.NotFound, Doing: "find " + wanted, Where: fault.Place{Hypervisor: s.hypervisor.Name},
		Why: "there is no such worker", Fix: "gpuworker status lists the workers",
	}
	if vm != nil {
		_, why := vm.Ownership()
		e.Kind, e.Where = fault.Refused, fault.Place{Hypervisor: s.hypervisor.Name, Host: vm.Home(), VM: vm.ID}
		e.Why = "it is not proven that the VM is a worker: " + cmp.Or(why, "it has no mark and no record of gpuworker")
		e.Fix = shell.Command("gpuworker adopt %s --as NAME", vm.ID) + " makes it a worker"
	}
	return e
}

// shortest leaves out each field of a pool without which the planner decides the same.
func (s *Session) shortest(world *inventory.Snapshot, pool *v1alpha1.WorkerPool) (*v1alpha1.WorkerPool, error) {
	text, err := json.Marshal(pool.Spec)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	with := func() *v1alpha1.WorkerPool {
		text, _ := json.Marshal(fields) // it was read from JSON
		other := &v1alpha1.WorkerPool{TypeMeta: pool.TypeMeta, ObjectMeta: pool.ObjectMeta}
		if json.Unmarshal(text, &other.Spec) != nil {
			return nil
		}
		return other
	}
	same := s.verdict(world, with())
	shorten(fields, func() bool { return s.verdict(world, with()) == same })
	return with(), nil
}

// shorten removes each field for which unchanged still reports true afterwards, the inner
// ones first.
func shorten(fields map[string]any, unchanged func() bool) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		if inner, is := value.(map[string]any); is {
			shorten(inner, unchanged)
		}
		delete(fields, name)
		if !unchanged() {
			fields[name] = value
		}
	}
}

// verdict is what the planner decides for the workers of a pool, as a text.
func (s *Session) verdict(world *inventory.Snapshot, pool *v1alpha1.WorkerPool) string {
	if pool == nil {
		return "not valid"
	}
	documents := documentsOf(s.hypervisor, []v1alpha1.WorkerPool{*pool})
	v1alpha1.SetDefaults(documents)
	_, problems := documents.Validate()
	text := fmt.Sprint(problems)
	p := planner.Build(inputOf(documents, &documents.Hypervisors[0], world, plan.Request{Verb: plan.ApplyDocuments}))
	for w := range p.Workers() {
		if one := p.Pools[0].Name == pool.Name; one || !w.Undeclared {
			text += fmt.Sprintln(w.Name, w.Action, w.Undeclared, w.Changes, w.Steps, w.Card)
		}
	}
	return text
}
