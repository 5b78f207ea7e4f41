package backendtest

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// touching are the calls that change a VM.
func (s *scenario) touching() []call {
	calls := []call{configure, attach, start, stop, park, setRecord, disown, unprotect, destroy}
	if s.can.ClaimsInVM {
		calls = append(calls, claim)
	}
	return calls
}

// identity meddles with who a VM is. No call may touch it then.
func (s suite) identity(t *testing.T) {
	for name, edit := range map[string]func(*VM){
		"renamed by hand":    func(vm *VM) { vm.Name = "gpu-1-old" },
		"without its record": func(vm *VM) { vm.Note = "do not touch" },
		"with the record of another one": func(vm *VM) {
			vm.Note = inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-9"}, UUID: vm.UUID}.Line()
		},
	} {
		s.scene(t, name, func(s *scenario) {
			e, w := s.whole()
			s.lab.Edit(w.ref.ID, edit)
			s.untouched(e, w, s.touching()...)
		})
	}
	for name, edit := range map[string]func(*VM){
		"with another UUID by hand": func(vm *VM) { vm.UUID = "77777777-7777-4777-8777-777777777777" },
		"without its mark":          func(vm *VM) { vm.Tags = nil },
	} {
		s.scene(t, name, func(s *scenario) {
			e, w := s.whole()
			s.lab.Edit(w.ref.ID, edit)
			// Such a clone may be one that was never marked, which configure does: that the
			// VM runs need not be seen in its configuration.
			s.untouched(e, w, s.touching()[1:]...)
		})
	}
	for name, mistake := range map[string]func(*worker){
		"meant was its predecessor": func(w *worker) {
			w.ref.UUID, w.record.UUID = "88888888-8888-4888-8888-888888888888", "88888888-8888-4888-8888-888888888888"
		},
		"meant was another worker": func(w *worker) { w.ref.Name, w.record.Worker = "gpu-7", "gpu-7" },
	} {
		s.scene(t, name, func(s *scenario) {
			e, w := s.whole()
			mistake(w)
			s.untouched(e, w, append(s.touching(), adopt)...)
		})
	}
	s.scene(t, "a VM of somebody else", func(s *scenario) {
		e, w := s.whole()
		id := s.lab.Make("payroll", "")
		s.lab.Edit(id, func(vm *VM) { vm.Running = true })
		theirs := see(s.lab, id)
		w.ref = inventory.VMRef{Host: w.ref.Host, ID: id, Name: theirs.Name, UUID: theirs.UUID}
		s.untouched(e, w, without(s.touching(), disown)...)
		before := s.state()
		e.must(w, disown) // it is nobody's worker already
		s.same("disown of a VM of somebody else", before)
	})
	s.scene(t, "another VM under its identifier", func(s *scenario) {
		e, w := s.whole()
		s.lab.Remove(w.ref.ID)
		s.lab.Make("payroll", w.ref.ID)
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Running = true })
		s.untouched(e, w, append(s.touching(), adopt)...)
	})
	s.scene(t, "gone", func(s *scenario) {
		e, w := s.whole()
		s.lab.Remove(w.ref.ID)
		nothing := []call{stop, unprotect, destroy}
		e.must(w, nothing...)
		for _, c := range append(without(s.touching(), nothing...), adopt) {
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

// whole is an engine and the GPU worker that it made.
func (s *scenario) whole() (*engine, *worker) {
	s.Helper()
	e := s.engine("ops@desk")
	w := e.gpuWorker("gpu-1", 1)
	e.must(w, s.running(w)...)
	return e, w
}

// made is the same without the card in the VM.
func (s *scenario) made() (*engine, *worker) {
	s.Helper()
	e := s.engine("ops@desk")
	w := e.gpuWorker("gpu-1", 1)
	e.must(w, s.making(w)...)
	return e, w
}

// untouched makes calls about a VM that is not the one meant. An attach may see
// first that the card is claimed for another worker.
func (s *scenario) untouched(e *engine, w *worker, calls ...call) {
	s.Helper()
	before := s.state()
	for _, c := range calls {
		kinds := []fault.Kind{fault.Conflict}
		if c.name == attach.name {
			kinds = append(kinds, fault.Exists)
		}
		e.isOneOf(c.name, e.do(c, w), kinds...)
	}
	s.same("calls about a VM that is not the one meant", before)
}
