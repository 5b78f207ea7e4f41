package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/shell"
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

// noName is the finding of a worker for which spec.names has no free name: workers that
// are no longer declared have the rest. This happens when the card of one worker is
// removed from the document, and the name of another.
func (b *builder) noName(d *draft) finding.Finding {
	wanted, ref := "another worker", pci.CardRef{}
	if d.request != nil {
		ref = cardRequirements(d.request).Ref
	}
	if !ref.IsZero() {
		wanted = "card " + ref.String()
	}
	var taken, pairs, inTheWay []string
	for _, other := range b.poolAt[keyOf(d.pool)].drafts {
		if !other.Undeclared {
			continue
		}
		has, held := "no card", other.member.card
		if !held.IsZero() {
			has = "card " + held.String()
		}
		pairs = append(pairs, other.Name+" has "+has)
		if other.number > 0 {
			taken = append(taken, fmt.Sprintf("%s is a worker with %s", other.Name, has))
		}
		if other.number > 0 || !ref.IsZero() && held == ref {
			inTheWay = append(inTheWay, other.Name)
		}
	}
	return finding.New(finding.VMNameTaken, finding.Fail, fault.Place{Hypervisor: b.world.Hypervisor, Worker: d.Name}).
		WithReason(fmt.Sprintf("spec.names has no free name for %s: %s and is no longer declared", wanted, phrase.First(taken, mostPairs, ", "))).
		WithFix(fmt.Sprintf("keep name and card of the same worker (%s), or remove both; to use the name for another card, first delete its worker: %s",
			phrase.First(pairs, mostPairs, ", "), deleting(inTheWay)))
}

// mostPairs is how many workers a finding lists with their cards.
const mostPairs = 8

// deleting is the command that deletes workers.
func deleting(names []string) string {
	var args []any
	for _, name := range names {
		args = append(args, name)
	}
	return shell.Command("gpuworker delete"+strings.Repeat(" %s", len(names)), args...)
}
