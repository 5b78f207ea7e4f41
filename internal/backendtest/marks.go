package backendtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// marks are scenarios about the marks by which a VM is ours.
func (s suite) marks(t *testing.T) {
	s.adoption(t)
	s.scene(t, "the record is written and read", func(s *scenario) {
		e, w := s.made()
		w.record.Labels, w.record.Taints = "zone=a", "gpu=true:NoSchedule"
		w.record.Replaced, w.record.Finished = "5e0f0000-0000-4000-8000-000000000009", "2026-11-29T12:00:00Z"
		e.must(w, setRecord)
		got := *s.vm(w).Record
		if got.VM = w.record.VM; got != w.record {
			s.Errorf("wrote %+v, read %+v", w.record, got)
		}
	})
	s.scene(t, "parked", func(s *scenario) {
		e, w := s.made()
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Tags = append(vm.Tags, "theirs") })
		for _, c := range []call{park, unpark} {
			e.must(w, c)
			vm := s.vm(w)
			if ownership, _ := vm.Ownership(); vm.Parked() != (c.name == park.name) || ownership != inventory.Ours || !slices.Contains(vm.Tags, "theirs") {
				s.Errorf("after %s: %s, tags %v", c.name, ownership, vm.Tags)
			}
		}
	})
	s.scene(t, "disowned", func(s *scenario) {
		e, w := s.complete()
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Note, vm.Tags = "made by eve\n"+vm.Note, append(vm.Tags, "theirs") })
		was := see(s.lab, w.ref.ID)
		s.twice(e, w, disown)
		s.isDisowned(w)
		if is := see(s.lab, w.ref.ID); is.UUID != was.UUID || !slices.Equal(is.Tags, []string{"theirs"}) || !strings.Contains(is.Note, "made by eve") {
			s.Errorf("it was %+v, now it is %+v", was, is)
		}
		s.conflicts(e, w, without(s.changing(), disown)...)
	})
	s.scene(t, "what a later program added is kept", func(s *scenario) {
		const added, flag = "gpu-uuid=GPU-1%2F2", "proven"
		e, w := s.made()
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Note += " " + added + " " + flag })
		w.record.Labels = "zone=a"
		w.machine.Cores++
		calls := []call{configure, setRecord, adopt, attach, park, unprotect}
		if s.can.ClaimsInVM {
			calls = append(calls, release, claim)
		}
		for _, c := range calls {
			w.record.Taints += "x"
			e.must(w, c)
			if note := see(s.lab, w.ref.ID).Note; !strings.Contains(note, added) || !strings.Contains(note, flag) {
				s.Errorf("after %s the note is %q", c.name, note)
			}
		}
		if record := s.vm(w).Record; record.Unknown != added || record.Labels != "zone=a" {
			s.Errorf("the record is %+v", record)
		}
	})
	for name, line := range unusableRecords {
		s.scene(t, "a record that is "+name+" is never written", func(s *scenario) {
			e, w := s.complete()
			s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Note = line })
			s.conflicts(e, w, append(s.changing(), adopt)...)
			if vm := s.vm(w); vm.RecordProblem == "" || vm.Record != nil {
				s.Errorf("the record is used: %+v", vm.Record)
			}
		})
	}
}

// adoption are scenarios about VMs that a person wants to adopt.
func (s suite) adoption(t *testing.T) {
	s.scene(t, "adopted", func(s *scenario) {
		e := s.engine("ops@desk")
		w := s.given(e)
		before := see(s.lab, w.ref.ID)
		s.twice(e, w, adopt)
		w.ref.Name = w.record.Worker
		vm, after := s.vm(w), see(s.lab, w.ref.ID)
		if ownership, why := vm.Ownership(); ownership != inventory.Ours || vm.Record.Worker != "gpu-5" {
			s.Errorf("it is %s (%s), %+v", ownership, why, vm.Record)
		}
		if after.UUID != before.UUID || !slices.Contains(after.Tags, "theirs") || !strings.Contains(after.Note, "made by eve") {
			s.Errorf("other tags or notes are gone: %+v", after)
		}
		e.must(w, start, park, unprotect, stop, destroy)
	})
	for name, meddle := range map[string]func(*scenario, *worker){
		"another name since": func(_ *scenario, w *worker) { w.ref.Name = "tutor" },
		"another UUID since": func(_ *scenario, w *worker) { w.ref.UUID = "77777777-7777-4777-8777-777777777777" },
		"locked":             func(s *scenario, w *worker) { s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Lock = "backup" }) },
		"a template":         func(s *scenario, w *worker) { w.ref = s.set.Template },
	} {
		s.scene(t, "not adopted: "+name, func(s *scenario) {
			e := s.engine("ops@desk")
			w := s.given(e)
			meddle(s, w)
			_ = e.refused(w, adopt, fault.Conflict)
		})
	}
	s.scene(t, "not adopted: another worker's", func(s *scenario) {
		e, w := s.complete()
		w.record.Worker, w.record.UUID = "gpu-5", w.ref.UUID
		_ = e.refused(w, adopt, fault.Conflict)
	})
}

// isDisowned fails the test unless the worker's VM is foreign and still runs.
func (s *scenario) isDisowned(w *worker) {
	s.Helper()
	vm := s.vm(w)
	ownership, why := vm.Ownership()
	if ownership != inventory.Foreign || vm.Parked() || vm.Name != w.record.Worker || !vm.Running || !vm.Holds(s.set.Card) {
		s.Errorf("it is %s (%s), %+v", ownership, why, vm)
	}
	s.claimedBy(nil)
}

// given is a foreign VM that is to become worker gpu-5.
func (s *scenario) given(e *engine) *worker {
	s.Helper()
	id := s.lab.Make("trainer", "")
	s.lab.Edit(id, func(vm *VM) { vm.Note, vm.Tags = "made by eve", []string{"theirs"} })
	theirs := see(s.lab, id)
	w := e.worker("gpu-5", "gpu", 5)
	w.ref = inventory.VMRef{Host: w.ref.Host, ID: id, Name: theirs.Name, UUID: theirs.UUID}
	w.record.UUID = theirs.UUID
	if !s.can.ChoosesIDs {
		w.record.VM = id
	}
	return w
}
