package backendtest

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
)

const raceSeeds = 60

// races let two engines claim one card at once, over networks of random speed.
func (s suite) races(t *testing.T) {
	won := map[string]int{}
	for seed := 0; seed < raceSeeds && !t.Failed(); seed += s.every {
		s.bubble(t, func(s *scenario) { won[s.race(uint64(seed))]++ })
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}
	t.Logf("%v", won)
}

// race returns the name of the worker that got the card.
func (s *scenario) race(seed uint64) string {
	workers := []*worker{s.claimant("ops@desk", "gpu-1", 1), s.claimant("eve@elsewhere", "vision-1", 2)}
	errs := make([]error, len(workers))
	var group sync.WaitGroup
	for i, w := range workers {
		e := s.engine(w.record.By)
		e.wire.delay = slow(rand.New(rand.NewPCG(seed, uint64(i))))
		group.Go(func() {
			for _, c := range []call{claim, attach, start} {
				if errs[i] = e.do(c, w); errs[i] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	holders := s.observe().Holders(s.set.Card)
	winner := "nobody"
	if len(holders) > 1 {
		s.Errorf("two VMs have the card: %s and %s", holders[0].Name, holders[1].Name)
	}
	for i, w := range workers {
		switch {
		case errs[i] == nil:
			winner = w.record.Worker
			s.claimedBy(w)
			s.isRunning(w, true)
		case !fault.Is(errs[i], fault.Exists):
			s.Errorf("%s lost with %v", w.record.Worker, errs[i])
		default:
			s.isRunning(w, false)
		}
	}
	if winner == "nobody" { // both may yield; then either can claim it
		s.engine("ops@desk").must(workers[0], claim, attach, start)
	}
	return winner
}

// slow is a network with random delays.
func slow(random *rand.Rand) func() {
	var mu sync.Mutex
	return func() {
		mu.Lock()
		d := time.Duration(random.IntN(40_000)) * time.Microsecond
		mu.Unlock()
		time.Sleep(d)
	}
}
