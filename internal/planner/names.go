package planner

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// names find what there is under a worker's name, be it the worker or not.
type names struct {
	members    map[string][]*member
	vms        map[string][]*inventory.VM    // that bear the name, or whose record has it
	releasing  map[string][]*inventory.Claim // that are being given back
	unbelieved map[string][]*inventory.Claim // whose record must not be believed
}

// names are made when the first name is asked for.
func (s *survey) names() *names {
	if s.byName != nil {
		return s.byName
	}
	n := &names{
		members: map[string][]*member{}, vms: map[string][]*inventory.VM{},
		releasing: map[string][]*inventory.Claim{}, unbelieved: map[string][]*inventory.Claim{},
	}
	for _, m := range s.order {
		n.members[m.Worker] = append(n.members[m.Worker], m)
	}
	for i := range s.world.VMs {
		n.addVM(&s.world.VMs[i])
	}
	for i := range s.world.Claims {
		claim := &s.world.Claims[i]
		switch worker := claim.Record.Worker; {
		case claim.Problem != "":
			n.unbelieved[worker] = append(n.unbelieved[worker], claim)
		case claim.Releasing:
			n.releasing[worker] = append(n.releasing[worker], claim)
		}
	}
	s.byName = n
	return n
}

func (n *names) addVM(vm *inventory.VM) {
	n.vms[vm.Name] = append(n.vms[vm.Name], vm)
	if r := vm.Record; r != nil && r.Worker != vm.Name {
		n.vms[r.Worker] = append(n.vms[r.Worker], vm)
	}
}

// spelling finds the names that a person may have meant.
type spelling struct {
	names []string // sorted
	asked int
}

// suggestions are given for so many names of one command: who has more of them wrong
// did not mistype them.
const suggestions = 10

func spellingOf(known map[string]bool) *spelling {
	return &spelling{names: slices.Sorted(maps.Keys(known))}
}

// closest are the up to three names that are nearest to a mistyped one.
func (s *spelling) closest(name string) []string {
	if s.asked++; s.asked > suggestions {
		return nil
	}
	type near struct {
		name     string
		distance int
	}
	var found []near
	most := max(2, len(name)/4)
	for _, other := range s.names {
		if distance := closest.Distance(name, other); distance <= most {
			found = append(found, near{other, distance})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var closest []string
	for _, n := range found[:min(len(found), 3)] {
		closest = append(closest, n.name)
	}
	return closest
}

// byName takes the workers apart whose names a pool with spec.names does not have: a
// worker is what it is called, whatever card it holds.
func byName(pool *v1alpha1.WorkerPool, members []*member) (declared, renamed []*member) {
	if len(pool.Spec.Names) == 0 {
		return members, nil
	}
	for _, m := range members {
		if m.number > 0 {
			declared = append(declared, m)
		} else {
			renamed = append(renamed, m)
		}
	}
	return declared, renamed
}
