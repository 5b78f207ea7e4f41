package backendtest

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// power are scenarios about start, stop and destroy.
func (s suite) power(t *testing.T) {
	s.scene(t, "a protected VM is not destroyed", func(s *scenario) {
		e, w := s.complete()
		e.must(w, stop)
		_ = e.refused(w, destroy, fault.Conflict)
		e.must(w, unprotect)
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Protected = true })
		_ = e.refused(w, destroy, fault.Conflict)
		e.must(w, unprotect, destroy)
	})
	s.scene(t, "a running VM is not destroyed", func(s *scenario) {
		e, w := s.complete()
		e.must(w, unprotect)
		before := s.state()
		if err := e.do(destroy, w); err == nil {
			s.Error("it was destroyed")
		}
		s.same("after the attempt", before)
	})
	s.scene(t, "a locked VM is busy", func(s *scenario) {
		e, w := s.made()
		w.machine.Cores++
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Lock = "backup" })
		if vm := s.vm(w); vm.State != inventory.Locked || vm.Locked != "backup" {
			s.Errorf("it is %q by %q", vm.State, vm.Locked)
		}
		for _, c := range []call{configure, attach, park, start, unprotect} {
			_ = e.refused(w, c, fault.Busy)
		}
		s.lab.Edit(w.ref.ID, func(vm *VM) { vm.Lock = "" })
		e.must(w, configure, attach, start)
	})
	s.scene(t, "agent waits for the guest", func(s *scenario) {
		e, w := s.made()
		e.must(w, start)
		if wait, err := e.once(agent, w, ""); wait == nil || wait.CallAfter <= 0 || err != nil {
			s.Errorf("the guest boots, and its answer is %+v, %v", wait, err)
		}
		e.must(w, agent)
	})
	s.failures(t)
}

// failures are scenarios about tasks that fail: the error has the task's text, and
// the next try succeeds.
func (s suite) failures(t *testing.T) {
	const text = "no space left on device"
	for name, play := range map[string]struct {
		before []call
		fails  call
	}{
		"clone":   {nil, clone},
		"start":   {[]call{clone, configure}, start},
		"destroy": {[]call{clone, configure}, destroy},
	} {
		s.scene(t, "a "+name+" that fails", func(s *scenario) {
			e := s.engine("ops@desk")
			w := e.worker("plain-1", "plain", 1)
			e.must(w, play.before...)
			before := s.state()
			s.lab.Fail(text)
			err := e.do(play.fails, w)
			if err == nil || !strings.Contains(err.Error(), text) {
				s.Errorf("it ends with %v", err)
			}
			time.Sleep(time.Minute)
			s.same("after a "+name+" that failed", before)
			e.must(w, play.fails)
			if s.state() == before {
				s.Error("the second try changed nothing")
			}
		})
	}
}
