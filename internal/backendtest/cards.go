package backendtest

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// longAfter is a time after which every cache of other VMs in a backend has expired.
const longAfter = 2 * time.Minute

// cards are scenarios about cards that are attached to foreign VMs.
func (s suite) cards(t *testing.T) {
	s.scene(t, "in a VM of somebody else", func(s *scenario) {
		e, w := s.made()
		theirs := s.lab.Make("theirs", "")
		s.give(theirs)
		s.names(e.refused(w, attach, fault.Exists), "theirs")
		s.lab.Edit(theirs, func(vm *VM) { vm.Card = nil })
		e.must(w, attach)
		s.give(theirs)
		time.Sleep(longAfter)
		s.names(e.refused(w, start, fault.Exists), "theirs")
		s.lab.Edit(theirs, func(vm *VM) { vm.Card = nil })
		e.must(w, start)
		s.isRunning(w, true)
	})
	s.scene(t, "in a running VM of somebody else", func(s *scenario) {
		theirs := s.lab.Make("theirs", "")
		s.give(theirs)
		s.lab.Edit(theirs, func(vm *VM) { vm.Running = true })
		e := s.engine("ops@desk")
		w := e.gpuWorker("gpu-1", 1)
		before := 0
		for i, c := range s.running(w) {
			if err := e.do(c, w); err != nil { // at the claim, or at the attach
				e.isOneOf(c.name, err, fault.Exists)
				s.names(err, "theirs")
				before = i
				break
			}
		}
		if c := s.running(w)[before]; c.name != claim.name && c.name != attach.name {
			s.Errorf("it was refused at the step %q", c.name)
		}
		if holders := s.observe().Holders(s.set.Card); len(holders) != 1 || holders[0].ID != theirs {
			s.Errorf("the card is held by %+v", holders)
		}
	})
	s.scene(t, "in two VMs of ours", func(s *scenario) {
		e, w := s.made()
		e.must(w, attach)
		other := s.claimant("eve@elsewhere", "vision-1", 2)
		s.give(other.ref.ID)
		time.Sleep(longAfter)
		s.names(e.refused(w, start, fault.Exists, fault.Conflict), "vision-1")
		s.names(e.refused(other, start, fault.Exists, fault.Conflict), "gpu-1")
		if s.can.ClaimsInVM { // without a register, only the VMs show who has it
			s.names(e.do(start, w), "gpu-1", "vision-1")
		}
		s.isRunning(w, false)
		s.isRunning(other, false)
	})
	s.unclaimed(t)
}

// unclaimed are scenarios in which the worker has no claim.
func (s suite) unclaimed(t *testing.T) {
	s.scene(t, "not claimed", func(s *scenario) {
		e, w := s.made()
		e.must(w, release)
		_ = e.refused(w, attach, fault.Conflict)
	})
	s.scene(t, "not claimed any more when the VM is started", func(s *scenario) {
		e, w := s.made()
		e.must(w, attach, release)
		_ = e.refused(w, start, fault.Conflict)
		e.must(w, claim, start)
		s.isRunning(w, true)
	})
	s.scene(t, "changed in its options", func(s *scenario) {
		e, w := s.made()
		e.must(w, attach)
		w.card.ROMBar = false
		e.must(w, attach, start, agent)
		s.isComplete(w)
	})
}

// give attaches the card of the setting to a VM by hand.
func (s *scenario) give(id string) {
	card := s.set.Card
	s.lab.Edit(id, func(vm *VM) { vm.Card = &card })
}

// names fails the test unless an error names all VMs.
func (s *scenario) names(err error, vms ...string) {
	s.Helper()
	for _, name := range vms {
		if err == nil || !strings.Contains(err.Error(), name) {
			s.Errorf("the error does not say that %s has the card: %v", name, err)
		}
	}
}

func (s *scenario) isRunning(w *worker, expected bool) {
	s.Helper()
	if running := see(s.lab, w.ref.ID).Running; running != expected {
		s.Errorf("VM %s of %s is running: %v", w.ref.ID, w.record.Worker, running)
	}
}
