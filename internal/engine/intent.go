package engine

import (
	"slices"
	"time"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// intent is what the work on a pool is about to take: the cards that it claims and the
// identifiers of its VMs. Until an observation shows them, other pools must not be given
// them: all pools are decided together, and each decision may move a worker that has
// neither.
type intent struct {
	claims []inventory.Claim
	vms    []string
	ended  time.Time // when the work ended; zero while it runs
}

// intend notes what was decided for a pool.
func (s *Session) intend(key PoolKey, d Decision) {
	var one intent
	for _, w := range d.Workers {
		if !slices.Contains(w.Steps, plan.StepClone) || w.Record == nil {
			continue
		}
		one.vms = append(one.vms, w.Record.VM)
		if !w.Card.IsZero() {
			one.claims = append(one.claims, inventory.Claim{Card: w.Card, Record: *w.Record, FromRange: true})
		}
	}
	if len(one.vms) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intents[key] = one
	s.declared++
}

// workEnded notes that the work on a pool has ended.
func (s *Session) workEnded(key PoolKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, is := s.intents[key]; is {
		one.ended = time.Now()
		s.intents[key] = one
	}
}

// withdraw forgets the intent of work that does not begin.
func (s *Session) withdraw(key PoolKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.intents, key)
	s.declared++
}

// observedSince forgets the intents of work that ended before an observation began: the
// observation shows what it has taken.
func (s *Session) observedSince(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, one := range s.intents {
		if !one.ended.IsZero() && !one.ended.After(began) {
			delete(s.intents, key)
		}
	}
}

// withIntents is an observation as if everything that is intended were taken.
func (s *Session) withIntents(seen *inventory.Snapshot) *inventory.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.intents) == 0 {
		return seen
	}
	var claims []inventory.Claim
	var vms []string
	for _, one := range s.intents {
		vms = append(vms, one.vms...)
		for _, claim := range one.claims {
			if seen.Claim(claim.Card) == nil {
				claims = append(claims, claim)
			}
		}
	}
	return seen.Reserved(claims, vms)
}
