package backendtest

import (
	"context"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// claims are scenarios about claims of one card by several workers.
func (s suite) claims(t *testing.T) {
	s.scene(t, "another worker's is named", func(s *scenario) {
		e, w := s.made()
		other := s.claimant("eve@elsewhere", "vision-1", 2)
		other.seen = w.record
		err := e.refused(other, claim, fault.Exists)
		if err != nil && !strings.Contains(err.Error(), "gpu-1") {
			s.Errorf("the error does not say who claims the card: %v", err)
		}
		before := s.state()
		e.must(other, release)
		s.same("a release without a claim", before)
		s.claimedBy(w)
	})
	s.scene(t, "a new one of the same VM is a change of it", func(s *scenario) {
		e, w := s.made()
		w.seen = w.record
		w.record.Labels = "zone=a"
		e.must(w, claim)
		s.claimedBy(w)
		if claim := s.observe().Claim(s.set.Card); claim != nil && claim.Record.Labels != "zone=a" {
			s.Errorf("the claim says %+v", claim.Record)
		}
	})
	s.scene(t, "another VM of the same worker that nobody saw", func(s *scenario) {
		e, w := s.made()
		if s.can.ClaimsInVM { // where names are unique
			s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Name = "gpu-1-old" })
		}
		next := s.claimant("eve@elsewhere", "gpu-1", 2)
		_ = e.refused(next, claim, fault.Conflict)
		before := s.state()
		e.must(next, release)
		s.same("a release of what another VM claims", before)
	})
	s.scene(t, "a predecessor's claim is not released instead", func(s *scenario) {
		e, w := s.made()
		before := s.state()
		old := *w
		old.record.UUID = "88888888-8888-4888-8888-888888888888"
		e.must(&old, release)
		s.same("a release of a predecessor's claim", before)
		otherCard := s.set.Card
		otherCard.Slot.Device ^= 1
		wait, err := e.b.Release(context.Background(), w.record, otherCard, "")
		if wait != nil || err != nil {
			s.Errorf("a release of a card that was never claimed: %+v, %v", wait, err)
		}
		s.same("a release of another card", before)
	})
	s.scene(t, "released, and claimed by another worker", func(s *scenario) {
		e, w := s.made()
		e.must(w, release, release)
		s.claimedBy(nil)
		other := s.claimant("eve@elsewhere", "vision-1", 2)
		e.must(other, claim)
		e.must(w, release) // it is not ours any more
		s.claimedBy(other)
		_ = e.refused(w, attach, fault.Conflict, fault.Exists)
		e.must(other, attach, start)
	})
	s.registers(t)
	s.inVMs(t)
	s.unusable(t)
}

// inVMs are scenarios in which a second VM has a claim.
func (s suite) inVMs(t *testing.T) {
	s.scene(t, "a second one that shows up before the attach", func(s *scenario) {
		e, w, other := s.twoClaims()
		wait, err := e.once(attach, w, "")
		if wait == nil || wait.CallAfter <= 0 || err != nil {
			s.Errorf("it does not wait: %+v, %v", wait, err)
		}
		s.names(e.refused(w, attach, fault.Exists), "vision-1")
		e.must(other, release)
		e.must(w, attach, start)
	})
	s.scene(t, "a second one that shows up after the attach yields", func(s *scenario) {
		e, w, other := s.twoClaims(attach)
		e.must(w, claim, attach, start)
		s.isRunning(w, true)
		err := e.do(claim, other)
		e.isOneOf(claim.name, err, fault.Exists)
		s.names(err, "gpu-1")
		if claims := s.observe().Claims; len(claims) != 1 || claims[0].Record.Worker != "gpu-1" {
			s.Errorf("there are claims %+v", claims)
		}
	})
	s.scene(t, "of two that stand, the one that is asked for again yields", func(s *scenario) {
		e, w, other := s.twoClaims()
		err := e.do(claim, w)
		e.isOneOf(claim.name, err, fault.Exists)
		s.names(err, "vision-1")
		s.claimedBy(other)
		e.must(other, claim, attach, start)
	})
}

// twoClaims are an engine with its worker, and another worker: both claim the card, as
// when a request arrives very late. before are calls for the first worker before that.
func (s *scenario) twoClaims(before ...call) (e *engine, w, other *worker) {
	s.Helper()
	if !s.can.ClaimsInVM {
		s.Skip("a register holds one claim")
	}
	e, w = s.made()
	e.must(w, before...)
	other = s.claimant("eve@elsewhere", "vision-1", 2)
	s.lab.Edit(other.ref.ID, func(vm *VM) { vm.Note += " claims" })
	if claims := s.observe().Claims; len(claims) != 2 {
		s.Fatalf("there are claims %+v", claims)
	}
	return e, w, other
}

// registers are scenarios of hypervisors that have a register of cards.
func (s suite) registers(t *testing.T) {
	s.scene(t, "another VM of the same worker that was seen", func(s *scenario) {
		if s.can.ClaimsInVM {
			s.Skip("a claim in another VM goes with that VM")
		}
		e, w := s.made()
		next := s.claimant("ops@desk", "gpu-1", 2)
		next.seen = w.record
		e.must(next, claim)
		s.claimedBy(next)
		before := s.state()
		e.must(w, release) // it belongs to the new VM now
		s.same("a release of the predecessor's claim", before)
		_ = e.refused(w, attach, fault.Conflict, fault.Exists)
	})
	s.scene(t, "without any VM", func(s *scenario) {
		if s.can.ClaimsInVM {
			s.Skip("a claim is a word in a VM")
		}
		e := s.engine("ops@desk")
		before := s.state()
		w := e.gpuWorker("gpu-1", 1)
		e.must(w, claim)
		s.claimedBy(w)
		e.must(w, release)
		s.same("after the release", before)
	})
}

// unusable are scenarios about claims in VMs with an unusable record.
func (s suite) unusable(t *testing.T) {
	for name, line := range unusableRecords {
		s.scene(t, "in a VM whose record is "+name, func(s *scenario) {
			if !s.can.ClaimsInVM {
				s.Skip("claims are not in VMs")
			}
			e, w := s.made()
			s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Note = line + " claims" })
			other := s.claimant("eve@elsewhere", "vision-1", 2)
			err := e.refused(other, claim, fault.Exists)
			if err != nil && !strings.Contains(err.Error(), w.ref.ID) {
				s.Errorf("the error does not say which VM claims the card: %v", err)
			}
			e.must(w, release) // the claim is not proven to be ours
			if claim := s.observe().Claim(s.set.Card); claim == nil || claim.Problem == "" {
				s.Errorf("the card does not count as taken: %+v", claim)
			}
		})
	}
}

// claimant is a worker of another engine that is ready to claim the card.
func (s *scenario) claimant(by, name string, n int) *worker {
	s.Helper()
	e := s.engine(by)
	w := e.gpuWorker(name, n)
	w.record.Pool = strings.TrimRight(name, "-0123456789")
	if s.can.ClaimsInVM {
		e.must(w, clone, configure)
		return w
	}
	plain := *w
	plain.record.Card, plain.card = pci.CardRef{}, nil
	e.must(&plain, clone, configure)
	return w
}

// unusableRecords are unusable records, by the reason.
var unusableRecords = map[string]string{
	"of a newer program": "gpuworker: v=2 worker=gpu-1 pool=gpu cluster=rke2 uuid=5e0f0000-0000-4000-8000-000000000001",
	"damaged":            "gpuworker: worker=gpu-1%20%3B%20touch%20x pool=gpu cluster=rke2 host=h card=0000%3A03%3A00",
	"double": inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-1"}, UUID: "5e0f0000-0000-4000-8000-000000000001"}.Line() + "\n" +
		inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-2"}, UUID: "5e0f0000-0000-4000-8000-000000000002"}.Line(),
}
