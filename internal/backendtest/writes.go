package backendtest

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// seenByEve is what another person writes into the note of a VM.
const seenByEve = "seen by eve"

// writes changes the VM by hand between the read and the write of each call.
func (s suite) writes(t *testing.T) {
	prepare := func(e *engine, w *worker) {}
	parked := func(e *engine, w *worker) { e.must(w, park) }
	labelled := func(_ *engine, w *worker) { w.record.Labels = "zone=a" }
	for _, c := range []struct {
		call
		prepare func(*engine, *worker)
	}{
		{configure, func(_ *engine, w *worker) { w.machine.Cores++ }},
		{attach, prepare}, {park, prepare}, {unpark, parked}, {setRecord, labelled}, {adopt, labelled}, {unprotect, prepare},
		{disown, func(e *engine, w *worker) { e.must(w, release) }},
	} {
		s.scene(t, c.name, func(s *scenario) {
			e, w := s.made()
			c.prepare(e, w)
			s.comesSecond(e, w, c.call)
		})
	}
	s.scene(t, "claim", func(s *scenario) {
		if !s.can.ClaimsInVM {
			s.Skip("a claim does not change a VM")
		}
		e, w := s.made()
		e.must(w, release)
		s.comesSecond(e, w, claim)
	})
	s.scene(t, "release", func(s *scenario) {
		if !s.can.ClaimsInVM {
			s.Skip("a claim does not change a VM")
		}
		e, w := s.made()
		s.comesSecond(e, w, release)
	})
	s.becomesAnother(t)
	s.scene(t, "another's clone before ours", func(s *scenario) {
		e := s.engine("ops@desk")
		w, other := e.worker("plain-1", "plain", 1), e.worker("plain-1", "plain", 2)
		other.record.VM, other.ref.ID = w.record.VM, w.ref.ID
		var between string
		e.wire.beforeWrite = func() {
			s.engine("eve@elsewhere").must(other, clone)
			between = s.state()
		}
		e.isOneOf(clone.name, e.do(clone, w), fault.Exists)
		s.same("a clone that came second", between)
	})
	s.scene(t, "another worker's claim before ours", func(s *scenario) {
		e := s.engine("ops@desk")
		w, other := s.claimant("ops@desk", "gpu-1", 1), s.claimant("eve@elsewhere", "vision-1", 2)
		e.wire.beforeWrite = func() { s.engine("eve@elsewhere").must(other, claim) }
		err := e.do(claim, w)
		e.isOneOf("claim", err, fault.Exists)
		s.names(err, "vision-1")
		s.claimedBy(other)
		if claims := s.observe().Claims; len(claims) != 1 {
			s.Errorf("there are claims left: %+v", claims)
		}
	})
}

// comesSecond makes a call whose write comes after another write. The call must read
// again and keep what the other write changed.
func (s *scenario) comesSecond(e *engine, w *worker, c call) {
	s.Helper()
	var between string
	e.wire.beforeWrite = func() {
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Note = seenByEve + "\n" + vm.Note })
		between = s.state()
	}
	wait, err := e.once(c, w, "")
	if between == "" {
		s.Fatalf("%s wrote nothing", c.name)
	}
	if wait == nil || err != nil {
		s.Errorf("%s: its write came second, and it returned %+v, %v", c.name, wait, err)
	}
	s.same(c.name+", whose write came second", between)
	e.must(w, c)
	if s.state() == between {
		s.Errorf("%s is done, and nothing has changed", c.name)
	}
	if note := see(s.lab, w.ref.ID).Note; !strings.Contains(note, seenByEve) {
		s.Errorf("%s overwrote the other write: %q", c.name, note)
	}
}

// becomesAnother turns the VM into a foreign one between the read and the write of a
// call.
func (s suite) becomesAnother(t *testing.T) {
	for _, c := range []call{configure, attach, park, unprotect} {
		s.scene(t, c.name+" of a VM that becomes another one", func(s *scenario) {
			e, w := s.made()
			w.machine.Cores++
			var between string
			e.wire.beforeWrite = func() {
				s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Name, vm.Note, vm.Tags = "payroll", "do not touch", nil })
				between = s.state()
			}
			e.isOneOf(c.name, e.do(c, w), fault.Conflict)
			s.same(c.name, between)
		})
	}
}
