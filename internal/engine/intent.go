package engine

import (
	"slices"
	"time"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// intent are the claims that the work on a pool is about to write. Until an observation
// shows them, other pools must not be given these cards: all pools are decided together,
// and each observation may move workers without a card to another one.
type intent struct {
	claims []inventory.Claim
	ended  time.Time // when the work ended; zero while it runs
}

// intend notes the cards that were decided for a pool.
func (s *Session) intend(key PoolKey, d Decision) {
	var claims []inventory.Claim
	for _, w := range d.Workers {
		if slices.Contains(w.Steps, plan.StepClaim) && !w.Card.IsZero() && w.Record != nil {
			claims = append(claims, inventory.Claim{Card: w.Card, Record: *w.Record})
		}
	}
	if len(claims) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intents[key] = intent{claims: claims}
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

// observedSince forgets the intents of work that ended before an observation began: its
// claims are in the observation.
func (s *Session) observedSince(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, one := range s.intents {
		if !one.ended.IsZero() && !one.ended.After(began) {
			delete(s.intents, key)
		}
	}
}

// withIntents is an observation as if all intended claims were written.
func (s *Session) withIntents(seen *inventory.Snapshot) *inventory.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	var intended []inventory.Claim
	for _, one := range s.intents {
		for _, claim := range one.claims {
			if seen.Claim(claim.Card) == nil {
				intended = append(intended, claim)
			}
		}
	}
	if len(intended) == 0 {
		return seen
	}
	return seen.WithClaims(intended)
}
