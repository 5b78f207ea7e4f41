package place

import (
	"container/heap"
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Search finds places for new workers that ask for the same, one after the other. A
// plan only gives away: what was refused to one of them is refused to the next one
// too. So each host and card is judged once for all of them, and not for each.
type Search struct {
	capacity *Capacity
	needs    Requirements
	hosts    candidates

	// refusals are why the last one found no place, and holds what the capacity had given
	// away then.
	refusals []finding.Finding
	holds    int
}

// candidate is a host that may have a place.
type candidate struct {
	host *inventory.Host
	rank rank // when it was last looked at: it may be worse by now, never better
	// cards are those that fit and were not refused yet; unused for plain workers.
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

// Search begins a search for workers that ask for what w does and have nothing yet:
// no VM, no claim, and no card by its place.
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

// Place finds the best place for the next worker and gives it away, as Capacity.Place
// does. Workers that are refused one after the other share the reasons: they must not
// be changed.
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
	if len(s.refusals) > 0 && s.holds == s.capacity.given {
		return Placement{}, nil, s.refusals
	}
	placement, notes, refusals = s.capacity.Place(w)
	s.refusals, s.holds = s.capacity.shared(refusals), s.capacity.given
	return placement, notes, s.refusals
}

// shared are the same refusals as found before, if they were: pools that ask for the
// same share them too.
func (r *Capacity) shared(refusals []finding.Finding) []finding.Finding {
	if len(refusals) == 0 {
		return nil
	}
	about := reasons{refusals[0], len(refusals)}
	if known := r.reasons[about]; slices.Equal(known, refusals) {
		return known
	}
	r.reasons[about] = refusals
	return refusals
}

// reasons tell refusals apart, nearly.
type reasons struct {
	first finding.Finding
	count int
}

// try judges a host and its cards.
func (s *Search) try(w Requirements, c *candidate) (o option, found bool) {
	if w.Card == nil {
		o = s.capacity.tryHost(w, c.host.Name)
		return o, len(o.refusals) == 0
	}
	for ; len(c.cards) > 0; c.cards = c.cards[1:] {
		if !s.capacity.isFree(c.host, c.cards[0], w.Holder) {
			continue
		}
		o = s.capacity.tryCard(w, c.host, c.cards[0], func() option { return s.capacity.tryHost(w, c.host.Name) })
		return o, len(o.refusals) == 0
	}
	return o, false
}

// Choices counts the places that are open now, and forgets the hosts that have none.
// Whoever has the fewest should choose first.
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

// placesOn counts the open places on a host: one for each card that is free, or for a
// plain worker the host itself.
func (s *Search) placesOn(c *candidate) int {
	places := 0
	for _, device := range c.cards {
		if s.capacity.isFree(c.host, device, s.needs.Holder) {
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
