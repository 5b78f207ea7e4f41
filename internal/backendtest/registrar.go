package backendtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// RegisterOperator is a Lab whose hypervisor has registers of cards: a person may change
// them.
type RegisterOperator interface {
	// MakeEntry makes an entry for a card under a name that is not that of its register.
	MakeEntry(card pci.CardRef) (name string)
	// OutdateRegister changes the register of a card so that it differs from the hardware.
	OutdateRegister(card pci.CardRef)
	// WriteRegister replaces the text of the register of a card.
	WriteRegister(card pci.CardRef, text string)
}

// registrar is an engine that makes registers.
type registrar struct {
	*engine
	hypervisor.Registrar
	operator RegisterOperator
}

// registrars are scenarios about registers that a person makes ahead.
func (s suite) registrars(t *testing.T) {
	s.scene(t, "only without claims in VMs", func(s *scenario) {
		if _, is := s.lab.Open(&Wire{}).(hypervisor.Registrar); is == s.can.ClaimsInVM {
			s.Errorf("claims are in VMs: %t, it makes registers: %t", s.can.ClaimsInVM, is)
		}
	})
	has := false
	s.bubble(t, func(s *scenario) { has = s.registrar() != nil })
	if !has {
		return
	}
	s.register(t, "made, corrected and removed", func(r *registrar) {
		r.is(nil)
		made := r.made()
		if made.Name == "" || made.Entry == "" || made.Stale != "" || made.Unseen != "" || made.Worker != "" || made.Problem != "" {
			r.Errorf("it is %+v", made)
		}
		r.is(made)
		r.writes("making it again", 0, func() { r.made() })
		r.operator.OutdateRegister(r.set.Card)
		if is := r.read(); is.Stale == "" || is.Entry == made.Entry {
			r.Errorf("it does not differ from the hardware: %+v", is)
		}
		r.writes("correcting it", 1, func() { r.made() })
		r.is(made)
		r.removed()
		r.is(nil)
		r.writes("removing it again", 0, r.removed)
	})
	s.refusedRegisters(t)
	s.usedRegisters(t)
	s.unusableRegisters(t)
	s.disturbedRegisters(t)
}

// refusedRegisters are scenarios about cards that are none, or have another entry.
func (s suite) refusedRegisters(t *testing.T) {
	s.register(t, "of another card, or of none", func(r *registrar) {
		absent := r.set.Card
		absent.Slot.Device ^= 1
		_ = r.refused("a card that does not exist", absent, fault.NotFound)
		for _, host := range r.observe().Hosts {
			for _, device := range host.Devices {
				if _, is := device.GPU(); !is && host.Online {
					_ = r.refused("no GPU: "+device.Functions[0].ShortName(), host.Ref(device), fault.Refused)
					return
				}
			}
		}
		r.Error("the lab has no device that is no GPU")
	})
	s.register(t, "of a card that has another entry", func(r *registrar) {
		name := r.operator.MakeEntry(r.set.Card)
		r.names(r.refused("a card with another entry", r.set.Card, fault.Exists), name)
		err := r.MayMakeRegister(context.Background(), r.set.Card)
		r.isOneOf("the question", err, fault.Exists)
		r.checkError("the question", err)
	})
	s.register(t, "a later entry does not matter", func(r *registrar) {
		made := r.made()
		r.operator.MakeEntry(r.set.Card)
		if err := r.MayMakeRegister(context.Background(), r.set.Card); err != nil {
			r.Error(err)
		}
		r.made()
		r.is(made)
	})
}

// usedRegisters are scenarios about registers with a claim, or in a VM.
func (s suite) usedRegisters(t *testing.T) {
	for _, first := range []bool{true, false} {
		s.register(t, fmt.Sprintf("kept by a release, made before the claim: %t", first), func(r *registrar) {
			w := r.gpuWorker("gpu-1", 1)
			if first {
				r.made()
			}
			r.must(w, claim)
			if !first {
				r.made()
			}
			r.claimedBy(w)
			if is := r.read(); is.Worker != "gpu-1" {
				r.Errorf("it is %+v", is)
			}
			r.names(r.keeps(fault.Exists), "gpu-1")
			r.must(w, release)
			r.claimedBy(nil)
			if is := r.read(); is.Worker != "" || is.Stale != "" {
				r.Errorf("after the release it is %+v", is)
			}
			r.removed()
		})
	}
	s.register(t, "not removed while a VM has it", func(r *registrar) {
		r.made()
		_, w := r.complete()
		r.must(w, disown)
		r.names(r.keeps(fault.Exists), w.ref.ID)
	})
}

// unusableRegisters are scenarios about registers with an unusable record.
func (s suite) unusableRegisters(t *testing.T) {
	for name, line := range unusableRecords {
		s.register(t, "not changed with a record that is "+name, func(r *registrar) {
			r.made()
			r.operator.OutdateRegister(r.set.Card)
			r.operator.WriteRegister(r.set.Card, line)
			before := r.read()
			if before.Problem == "" {
				r.Errorf("the record is used: %+v", before)
			}
			_, err := r.make(r.set.Card)
			r.isOneOf("a correction", err, fault.Exists)
			r.checkError("a correction", err)
			_ = r.keeps(fault.Exists)
			r.is(&before)
		})
	}
}

// disturbedRegisters are scenarios with two engines, and with lost requests.
func (s suite) disturbedRegisters(t *testing.T) {
	s.register(t, "made by two at once", func(r *registrar) {
		var group sync.WaitGroup
		for range 2 {
			other := r.another()
			other.wire.delay = func() { time.Sleep(20 * time.Millisecond) }
			group.Go(func() { other.made() })
		}
		group.Wait()
		r.read()
	})
	s.register(t, "not made over another write", func(r *registrar) {
		r.made()
		r.operator.OutdateRegister(r.set.Card)
		r.wire.beforeWrite = func() { r.operator.WriteRegister(r.set.Card, seenByEve) }
		before := r.read()
		_, err := r.make(r.set.Card)
		r.isOneOf("a correction that came second", err, fault.Conflict)
		r.checkError("a correction that came second", err)
		r.is(&before)
		r.made()
	})
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("one request lost, late %t", late), func(t *testing.T) { s.cutEach(t, late, (*scenario).registerLost) })
	}
}

// registerLost makes and removes a register while one request is lost; the same calls
// again do the rest.
func (s *scenario) registerLost(cut Cut) bool {
	r := s.registrar()
	r.wire.loses(cut)
	if _, err := r.make(s.set.Card); err != nil {
		r.isOneOf("making it", err, fault.Unavailable)
		r.made()
	}
	r.read()
	if err := r.RemoveRegister(context.Background(), s.set.Card); err != nil {
		r.isOneOf("removing it", err, fault.Unavailable)
		r.removed()
	}
	r.another().is(nil)
	return r.wire.wasCut()
}

// register runs a scenario on a hypervisor that has registers.
func (s suite) register(t *testing.T, name string, play func(*registrar)) {
	t.Helper()
	s.scene(t, name, func(s *scenario) { play(s.registrar()) })
}

// registrar is an engine that makes registers; nil where there are none.
func (s *scenario) registrar() *registrar {
	s.Helper()
	e := s.engine("ops@desk")
	makes, is := e.b.(hypervisor.Registrar)
	if !is {
		return nil
	}
	operator, is := s.lab.(RegisterOperator)
	if !is {
		s.Fatal("the lab of a hypervisor with registers must be a RegisterOperator")
	}
	return &registrar{e, makes, operator}
}

func (r *registrar) another() *registrar { return r.scenario.registrar() }

// make makes a register, and checks what it returns.
func (r *registrar) make(card pci.CardRef) (*hypervisor.Register, error) {
	r.Helper()
	before, _ := r.wire.counted()
	register, err := r.MakeRegister(context.Background(), card)
	if after, _ := r.wire.counted(); after-before > 1 {
		r.Errorf("making it sent %d requests that write", after-before)
	}
	if (register == nil) == (err == nil) {
		r.Errorf("making it returned %+v and %v", register, err)
	}
	return register, err
}

// made makes the register of the card, which must succeed.
func (r *registrar) made() *hypervisor.Register {
	r.Helper()
	register, err := r.make(r.set.Card)
	if err != nil {
		r.Error(err)
		return &hypervisor.Register{}
	}
	return register
}

func (r *registrar) removed() {
	r.Helper()
	if err := r.RemoveRegister(context.Background(), r.set.Card); err != nil {
		r.Error(err)
	}
}

// read reads the register of the card, which must exist.
func (r *registrar) read() hypervisor.Register {
	r.Helper()
	register, err := r.Register(context.Background(), r.set.Card)
	if err != nil || register == nil {
		r.Errorf("the register is %+v, %v", register, err)
		return hypervisor.Register{}
	}
	return *register
}

// is fails the test unless the register of the card is this one; nil for none.
func (r *registrar) is(expected *hypervisor.Register) {
	r.Helper()
	got, err := r.Register(context.Background(), r.set.Card)
	if err != nil || (got == nil) != (expected == nil) || got != nil && *got != *expected {
		r.Errorf("the register is %+v, %v, want %+v", got, err, expected)
	}
}

// refused makes the register of a card, which must fail and make nothing.
func (r *registrar) refused(what string, card pci.CardRef, kind fault.Kind) error {
	r.Helper()
	_, err := r.make(card)
	r.isOneOf(what, err, kind)
	r.checkError(what, err)
	if register, err := r.Register(context.Background(), card); register != nil || err != nil {
		r.Errorf("%s: the register is %+v, %v", what, register, err)
	}
	return err
}

// keeps removes the register of the card, which must fail and keep it.
func (r *registrar) keeps(kind fault.Kind) error {
	r.Helper()
	before := r.read()
	err := r.RemoveRegister(context.Background(), r.set.Card)
	r.isOneOf("the removal", err, kind)
	r.checkError("the removal", err)
	r.is(&before)
	return err
}

// writes fails the test unless do sends this number of requests that write.
func (r *registrar) writes(what string, expected int, do func()) {
	r.Helper()
	before, _ := r.wire.counted()
	do()
	if after, _ := r.wire.counted(); after-before != expected {
		r.Errorf("%s sent %d requests that write, want %d", what, after-before, expected)
	}
}
