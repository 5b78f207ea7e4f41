package place

import (
	"container/heap"
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Search finds places for new workers with the same requirements, one after the
// other. Since a plan only allocates and never frees, a place that is refused for one
// of them is refused for the next ones too, so each host and card is judged once.
type Search struct {
	capacity *Capacity
	needs    Requirements
	hosts    candidates

	// refusals say why the last worker found no place, at this number of allocations.
	refusals    []finding.Finding
	allocations int
}

// candidate is a host that may have a place.
type candidate struct {
	host *inventory.Host
	rank rank // at the last check; now it may be worse, but not better
	// cards match the requirements and are not refused yet; unused for plain workers.
	cards []pci.Device
}

// candidates are a heap, the best first.
type candidates []*candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].rank.compare(c[j].rank) < 0 }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(*candidate)) }
func (c *candidates) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}

// Search begins a search for workers with the requirements w that have no VM and no
// claim, and do not name their card by its place.
func (r *Capacity) Search(w Requirements) *Search {
	s := &Search{capacity: r, needs: w}
	for _, name := range w.hosts(r.world) {
		host := r.world.Host(name)
		if host == nil {
			continue
		}
		c := &candidate{host: host, rank: r.rank(w, name)}
		if w.Card != nil {
			if c.cards = r.Cards(*w.Card, host); len(c.cards) == 0 {
				continue
			}
		}
		s.hosts = append(s.hosts, c)
	}
	heap.Init(&s.hosts)
	return s
}

// Place finds the best place for the next worker and allocates it, like
// Capacity.Place. Refused workers share the list of reasons, so the caller must not
// change it.
func (s *Search) Place(worker string) (placement Placement, notes, refusals []finding.Finding) {
	w := s.needs
	w.Worker = worker
	for len(s.hosts) > 0 {
		best := s.hosts[0]
		if now := s.capacity.rank(w, best.host.Name); now != best.rank {
			best.rank = now
			heap.Fix(&s.hosts, 0)
			continue
		}
		if o, found := s.try(w, best); found {
			return s.capacity.take(w, o), o.notes, nil
		}
		heap.Pop(&s.hosts)
	}
	if len(s.refusals) > 0 && s.allocations == s.capacity.allocations {
		return Placement{}, nil, s.refusals
	}
	placement, notes, refusals = s.capacity.Place(w)
	s.refusals, s.allocations = s.capacity.shared(refusals), s.capacity.allocations
	return placement, notes, s.refusals
}

// shared returns an equal list of refusals that was found before, if there is one, so
// that pools with the same requirements share the list.
func (r *Capacity) shared(refusals []finding.Finding) []finding.Finding {
	if len(refusals) == 0 {
		return nil
	}
	key := reasonsKey{refusals[0], len(refusals)}
	if known := r.reasons[key]; slices.Equal(known, refusals) {
		return known
	}
	r.reasons[key] = refusals
	return refusals
}

// reasonsKey is a key for lists of refusals; unequal lists may have the same key.
type reasonsKey struct {
	first finding.Finding
	count int
}

// try checks a host and its cards.
func (s *Search) try(w Requirements, c *candidate) (o option, found bool) {
	if w.Card == nil {
		o = s.capacity.tryHost(w, c.host.Name)
		return o, len(o.refusals) == 0
	}
	for ; len(c.cards) > 0; c.cards = c.cards[1:] {
		if !s.capacity.isFree(c.host, c.cards[0], w.Holder) || !s.capacity.suits(c.host, c.cards[0], w.Card.Driver) {
			continue
		}
		o = s.capacity.tryCard(w, c.host, c.cards[0], func() option { return s.capacity.tryHost(w, c.host.Name) })
		return o, len(o.refusals) == 0
	}
	return o, false
}

// Choices counts the places that are free now, and drops the hosts that have none.
// Workers with the fewest choices should be placed first.
func (s *Search) Choices() int {
	count := 0
	s.hosts = slices.DeleteFunc(s.hosts, func(c *candidate) bool {
		places := s.placesOn(c)
		count += places
		return places == 0
	})
	heap.Init(&s.hosts)
	return count
}

// placesOn counts the free places on a host: one for each free card; for a plain
// worker, the host counts as one.
func (s *Search) placesOn(c *candidate) int {
	places := 0
	for _, device := range c.cards {
		if s.capacity.isFree(c.host, device, s.needs.Holder) && s.capacity.suits(c.host, device, s.needs.Card.Driver) {
			places++
		}
	}
	if s.needs.Card == nil {
		places = 1
	}
	if places > 0 && len(s.capacity.tryHost(s.needs, c.host.Name).refusals) > 0 {
		return 0
	}
	return places
}
