package planner

import (
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
)

// matchCards matches each existing worker with an entry of spec.gpus, by the card
// that it holds and not by its position in the list: removing an entry from the
// middle affects no other worker. The result is the index of the entry for each
// member, -1 for none.
//
// Entries that name the card are matched first, then as many workers as possible
// with the other entries. A card that cannot be seen at present may match too, after
// all visible cards.
func matchCards(world *inventory.Snapshot, pool *v1alpha1.WorkerPool, members []*member) []int {
	m := newMatching(pool, len(members))
	var seen, unseen []int
	for i, member := range members {
		switch {
		case member.card.IsZero() || m.takeNamed(i, member):
		case isCardVisible(world, member):
			seen = append(seen, i)
		default:
			unseen = append(unseen, i)
		}
	}
	for _, i := range slices.Concat(seen, unseen) {
		m.match(i, m.kind(world, members[i]))
	}
	return m.entryOf
}

// firstEqual returns, for each entry of spec.gpus, the index of the first entry that asks
// for the same card or the same kind of card. Their counts may differ.
func firstEqual(requests []v1alpha1.GPURequest) []int {
	first, at := make([]int, len(requests)), map[string]int{}
	for i := range requests {
		r := &requests[i]
		key := strings.Join(append([]string{r.Card, r.Host, r.BDF, r.Model, r.ID}, r.Hosts...), "\n")
		if _, known := at[key]; !known {
			at[key] = i
		}
		first[i] = at[key]
	}
	return first
}

// isCardVisible reports whether the host of the card was observed and has it.
func isCardVisible(world *inventory.Snapshot, m *member) bool {
	host := world.Host(m.host)
	return host != nil && host.Device(m.card.Slot) != nil
}

// matching assigns members to entries, up to the count of each entry. Members that fit
// the same entries are of one kind, and an entry for 100 cards is one entry. So the time
// for one worker depends on the number of entries and kinds, not on that of workers.
type matching struct {
	entryOf []int // index of the entry of each member, -1 for none
	entries []matchEntry
	named   map[pci.CardRef]int // unused entries that name a card
	groups  []entryGroup
	byModel map[cardModel]*memberKind
	kinds   map[string]*memberKind
}

type matchEntry struct {
	free  int           // cards without a member
	kinds []*memberKind // kinds with members here
}

// entryGroup are the entries that ask for the same kind of card.
type entryGroup struct {
	needs   place.CardRequirements
	entries []int
}

// cardModel is the host of a worker, and vendor, name and ID of its card. Without a
// visible card only the host is set.
type cardModel struct {
	host, vendor, name string
	id                 pci.ID
	seen               bool
}

// memberKind are the members that fit the same entries.
type memberKind struct {
	entries []int         // that they fit
	taken   int           // the first entries that are full; they stay full, because a moved member is replaced by another
	members map[int][]int // matched members by entry
	full    bool          // no further member can be matched
}

func newMatching(pool *v1alpha1.WorkerPool, members int) *matching {
	m := &matching{
		entryOf: slices.Repeat([]int{-1}, members), named: map[pci.CardRef]int{},
		byModel: map[cardModel]*memberKind{}, kinds: map[string]*memberKind{},
	}
	group := map[int]int{} // index in groups, by index of the first equal entry
	for i, first := range firstEqual(pool.Spec.GPUs) {
		request := &pool.Spec.GPUs[i]
		m.entries = append(m.entries, matchEntry{free: request.Cards()})
		needs := cardRequirements(request)
		if !needs.Ref.IsZero() {
			m.named[needs.Ref] = i
			continue
		}
		if first == i {
			if len(needs.Hosts) == 0 {
				needs.Hosts = pool.Spec.Hosts
			}
			group[i] = len(m.groups)
			m.groups = append(m.groups, entryGroup{needs: needs})
		}
		same := &m.groups[group[first]]
		same.entries = append(same.entries, i)
	}
	return m
}

// takeNamed matches a member with the entry that names its card.
func (m *matching) takeNamed(i int, member *member) bool {
	entry, named := m.named[member.card]
	if named {
		m.entryOf[i] = entry
		delete(m.named, member.card)
	}
	return named
}

// kind returns the memberKind of a member, from byModel if it is there.
func (m *matching) kind(world *inventory.Snapshot, member *member) *memberKind {
	model := modelOf(world, member)
	if m.byModel[model] == nil {
		m.byModel[model] = m.kindOf(world, member)
	}
	return m.byModel[model]
}

func modelOf(world *inventory.Snapshot, member *member) cardModel {
	model := cardModel{host: member.host}
	if host := world.Host(member.host); host != nil {
		if device := host.Device(member.card.Slot); device != nil {
			gpu, _ := device.GPU()
			model.vendor, model.name, model.id, model.seen = gpu.Vendor, gpu.Name, gpu.ID, true
		}
	}
	return model
}

// kindOf makes the memberKind of a member, or finds an equal one.
func (m *matching) kindOf(world *inventory.Snapshot, member *member) *memberKind {
	key := make([]byte, len(m.groups))
	for g := range m.groups {
		if fitsKind(world, m.groups[g].needs, member) != fitNever {
			key[g] = 1
		}
	}
	if k := m.kinds[string(key)]; k != nil {
		return k
	}
	k := &memberKind{members: map[int][]int{}}
	for g := range m.groups {
		if key[g] == 1 {
			k.entries = append(k.entries, m.groups[g].entries...)
		}
	}
	slices.Sort(k.entries)
	m.kinds[string(key)] = k
	return k
}

// match matches a member with an entry, if necessary by moving other members to other
// entries that they fit. A matched member may be moved, but never loses its match.
func (m *matching) match(i int, k *memberKind) {
	if k.full {
		return
	}
	entry, found := m.makeFree(k, map[*memberKind]bool{})
	if !found {
		k.full = true
		return
	}
	m.give(i, k, entry)
}

// makeFree finds an entry with a free card for a member of the kind. If there is
// none, it moves members in a chain, one from entry A to B, one from B to C, until an
// entry with a free card is reached (an augmenting path).
func (m *matching) makeFree(k *memberKind, visited map[*memberKind]bool) (entry int, found bool) {
	visited[k] = true
	for ; k.taken < len(k.entries); k.taken++ {
		if e := k.entries[k.taken]; m.entries[e].free > 0 {
			return e, true
		}
	}
	for _, e := range k.entries {
		for _, other := range m.entries[e].kinds {
			if visited[other] || len(other.members[e]) == 0 {
				continue
			}
			if to, ok := m.makeFree(other, visited); ok {
				m.move(other, e, to)
				return e, true
			}
		}
	}
	return 0, false
}

func (m *matching) give(i int, k *memberKind, entry int) {
	m.entryOf[i] = entry
	m.entries[entry].free--
	k.members[entry] = append(k.members[entry], i)
	if !slices.Contains(m.entries[entry].kinds, k) {
		m.entries[entry].kinds = append(m.entries[entry].kinds, k)
	}
}

// move moves one member of a kind to another entry.
func (m *matching) move(k *memberKind, from, to int) {
	last := len(k.members[from]) - 1
	i := k.members[from][last]
	k.members[from] = k.members[from][:last]
	m.entries[from].free++
	m.give(i, k, to)
}

// fit says how a worker's card fits a request; after fitNever, the surest first.
type fit int

const (
	fitNever  fit = iota
	fitNamed      // the request names this very card
	fitSeen       // the card has the requested model or ID
	fitUnseen     // the card cannot be seen now, but its host fits
)

func fits(world *inventory.Snapshot, pool *v1alpha1.WorkerPool, request *v1alpha1.GPURequest, m *member) fit {
	if m.card.IsZero() {
		return fitNever
	}
	needs := cardRequirements(request)
	if !needs.Ref.IsZero() {
		if needs.Ref == m.card {
			return fitNamed
		}
		return fitNever
	}
	if len(needs.Hosts) == 0 {
		needs.Hosts = pool.Spec.Hosts
	}
	return fitsKind(world, needs, m)
}

func fitsKind(world *inventory.Snapshot, needs place.CardRequirements, m *member) fit {
	if len(needs.Hosts) > 0 && !slices.Contains(needs.Hosts, m.host) {
		return fitNever
	}
	host := world.Host(m.host)
	if host == nil || host.Device(m.card.Slot) == nil {
		return fitUnseen
	}
	if needs.Matches(m.host, *host.Device(m.card.Slot)) {
		return fitSeen
	}
	return fitNever
}
