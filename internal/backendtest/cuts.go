package backendtest

import (
	"fmt"
	"testing"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// cuts makes and deletes a worker while one request is lost, for each request in turn.
func (s suite) cuts(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed, late %v", late), func(t *testing.T) { s.cutEach(t, late, (*scenario).killed) })
		t.Run(fmt.Sprintf("killed during disown, late %v", late), func(t *testing.T) { s.cutEach(t, late, (*scenario).killedDuringDisown) })
		t.Run(fmt.Sprintf("one request lost, late %v", late), func(t *testing.T) { s.cutEach(t, late, (*scenario).oneLost) })
	}
}

func (s suite) cutEach(t *testing.T, late bool, play func(*scenario, Cut) bool) {
	points := 0
	for at, cut := 1, true; cut && !t.Failed(); at += s.every {
		s.bubble(t, func(s *scenario) { cut = play(s, Cut{At: at, Late: late}) })
		if t.Failed() {
			t.Logf("request %d was lost", at)
		}
		if cut {
			points++
		}
	}
	t.Logf("%d cut points", points)
	if points == 0 && !t.Failed() {
		t.Error("no request was lost")
	}
}

// killed kills an engine. Another one begins the same command again: it has the same
// plan, but does not know how far the first one came.
func (s *scenario) killed(cut Cut) bool {
	before := s.state()
	first, second := s.engine("ops@desk"), s.engine("ops@desk")
	second.retries = true
	w := first.gpuWorker("gpu-1", 1)
	cut.Kills = true
	first.wire.loses(cut)
	if first.all(w, s.running(w)) != nil {
		w.ref.ID = w.record.VM
		second.must(w, s.running(w)...)
		s.isComplete(w)
	}
	s.hasSeed(w, inventory.CleanSeed, image(w, "clean"))
	if first.all(w, s.ending(w)) != nil {
		second.must(w, s.ending(w)...)
	}
	s.noSecret(w)
	s.same("after the worker's end", before)
	return first.wire.dead()
}

// killedDuringDisown kills an engine that disowns a worker; another one goes on.
func (s *scenario) killedDuringDisown(cut Cut) bool {
	_, w := s.complete()
	first := s.engine("ops@desk")
	cut.Kills = true
	first.wire.loses(cut)
	if first.all(w, []call{disown}) != nil {
		second := s.engine("ops@desk")
		second.retries = true
		second.must(w, disown)
	}
	s.isDisowned(w)
	return first.wire.dead()
}

// all makes calls until one fails, which may only happen to a dead process.
func (e *engine) all(w *worker, calls []call) error {
	e.Helper()
	for _, c := range calls {
		if err := e.do(c, w); err != nil {
			if !e.wire.dead() {
				e.Errorf("%s: %v", c.name, err)
			}
			return err
		}
	}
	return nil
}

// oneLost loses one request of an engine that keeps running.
func (s *scenario) oneLost(cut Cut) bool {
	before := s.state()
	e := s.engine("ops@desk")
	e.retries = true
	w := e.gpuWorker("gpu-1", 1)
	e.wire.loses(cut)
	e.must(w, s.running(w)...)
	s.isComplete(w)
	e.must(w, s.ending(w)...)
	s.noSecret(w) // when late requests have arrived
	s.same("after the worker's end", before)
	return e.wire.wasCut()
}
