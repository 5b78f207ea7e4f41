package backendtest

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// changing are the calls that change a VM.
func (s *scenario) changing() []call {
	calls := []call{configure, attach, start, stop, park, setRecord, disown, unprotect, setClean, removeSeeds, writeGuest, runInGuest, destroy}
	if s.can.ClaimsInVM {
		calls = append(calls, claim)
	}
	return calls
}

// identity changes the identity of a VM by hand. Then no call may change the VM.
func (s suite) identity(t *testing.T) {
	for name, edit := range map[string]func(*VM){
		"renamed by hand":    func(vm *VM) { vm.Name = "gpu-1-old" },
		"without its record": func(vm *VM) { vm.Note = "do not touch" },
		"with the record of another one": func(vm *VM) {
			vm.Note = inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-9"}, UUID: vm.UUID}.Line()
		},
	} {
		s.scene(t, name, func(s *scenario) {
			e, w := s.complete()
			s.lab.Edit(w.ref.ID, edit)
			s.conflicts(e, w, s.changing()...)
		})
	}
	for name, edit := range map[string]func(*VM){
		"with another UUID by hand": func(vm *VM) { vm.UUID = "77777777-7777-4777-8777-777777777777" },
		"without its mark":          func(vm *VM) { vm.Tags = nil },
	} {
		s.scene(t, name, func(s *scenario) {
			e, w := s.complete()
			s.lab.Edit(w.ref.ID, edit)
			// configure is left out: it may take the VM for a clone that is not marked yet,
			// since the configuration need not show that the VM runs.
			s.conflicts(e, w, s.changing()[1:]...)
		})
	}
	for name, mistake := range map[string]func(*worker){
		"the reference is that of its predecessor": func(w *worker) {
			w.ref.UUID, w.record.UUID = "88888888-8888-4888-8888-888888888888", "88888888-8888-4888-8888-888888888888"
		},
		"the reference is that of another worker": func(w *worker) { w.ref.Name, w.record.Worker = "gpu-7", "gpu-7" },
	} {
		s.scene(t, name, func(s *scenario) {
			e, w := s.complete()
			mistake(w)
			s.conflicts(e, w, append(s.changing(), adopt)...)
		})
	}
	s.scene(t, "a VM of somebody else", func(s *scenario) {
		e, w := s.complete()
		id := s.lab.Make("payroll", "")
		s.lab.Edit(id, func(vm *VM) { vm.Running = true })
		theirs := see(s.lab, id)
		w.ref = inventory.VMRef{Host: w.ref.Host, ID: id, Name: theirs.Name, UUID: theirs.UUID}
		s.conflicts(e, w, without(s.changing(), disown)...)
		before := s.state()
		e.must(w, disown) // it is not ours any more
		s.same("disown of a VM of somebody else", before)
	})
	s.scene(t, "another VM under its identifier", func(s *scenario) {
		e, w := s.complete()
		s.lab.Remove(w.ref.ID)
		s.lab.Make("payroll", w.ref.ID)
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Running = true })
		s.conflicts(e, w, append(s.changing(), adopt)...)
	})
	s.scene(t, "gone", func(s *scenario) {
		e, w := s.complete()
		s.lab.Remove(w.ref.ID)
		nothing := []call{stop, unprotect, removeSeeds, destroy}
		e.must(w, nothing...)
		for _, c := range append(without(s.changing(), nothing...), adopt) {
			_ = e.refused(w, c, fault.NotFound)
		}
	})
}

// without are calls without some of them.
func without(calls []call, some ...call) []call {
	return slices.DeleteFunc(slices.Clone(calls), func(c call) bool {
		return slices.ContainsFunc(some, func(other call) bool { return other.name == c.name })
	})
}

// complete is an engine and a running GPU worker that it made.
func (s *scenario) complete() (*engine, *worker) {
	s.Helper()
	e := s.engine("ops@desk")
	w := e.gpuWorker("gpu-1", 1)
	e.must(w, s.running(w)...)
	return e, w
}

// made is an engine and a configured GPU worker, stopped and without its card.
func (s *scenario) made() (*engine, *worker) {
	s.Helper()
	e := s.engine("ops@desk")
	w := e.gpuWorker("gpu-1", 1)
	e.must(w, s.making(w)...)
	return e, w
}

// conflicts makes calls that must not change the VM, since it is not the one of the
// reference. An attach may first see that the card is claimed for another worker.
func (s *scenario) conflicts(e *engine, w *worker, calls ...call) {
	s.Helper()
	before := s.state()
	for _, c := range calls {
		kinds := []fault.Kind{fault.Conflict}
		if c.name == attach.name {
			kinds = append(kinds, fault.Exists)
		}
		e.isOneOf(c.name, e.do(c, w), kinds...)
	}
	s.same("calls for a VM that is not the one of the reference", before)
}
