package planner

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// names indexes members, VMs and claims by worker name.
type names struct {
	members   map[string][]*member
	vms       map[string][]*inventory.VM    // that have the name, or a record with it
	releasing map[string][]*inventory.Claim // that are being released
	unusable  map[string][]*inventory.Claim // whose record is unusable
}

// names returns the index, which the first call makes.
func (s *survey) names() *names {
	if s.byName != nil {
		return s.byName
	}
	n := &names{
		members: map[string][]*member{}, vms: map[string][]*inventory.VM{},
		releasing: map[string][]*inventory.Claim{}, unusable: map[string][]*inventory.Claim{},
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
			n.unusable[worker] = append(n.unusable[worker], claim)
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

// spelling suggests names for mistyped ones.
type spelling struct {
	names []string // sorted
	asked int      // how many names suggestions were asked for
}

// maxSuggestions is for how many names of one command there are suggestions: when
// more names are wrong, these are not typing errors.
const maxSuggestions = 10

func spellingOf(known map[string]bool) *spelling {
	return &spelling{names: slices.Sorted(maps.Keys(known))}
}

// closest are the up to three names that are most similar to a mistyped one.
func (s *spelling) closest(name string) []string {
	if s.asked++; s.asked > maxSuggestions {
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

// byName separates the workers whose names are not in spec.names. In a pool with
// spec.names, the name alone identifies a worker, whatever card it holds.
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
