package pvesim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The HA manager. It acts by itself, as root@pam, some seconds after a request. For a VM
// that it manages, users' requests only change the requested state.

// haStatus is the HA part of a VM's status.
func (v *vm) haStatus() map[string]any {
	if !v.haManaged() {
		return map[string]any{"managed": 0}
	}
	state := "stopped"
	if v.run != nil {
		state = "started"
	}
	return map[string]any{"managed": 1, "state": state}
}

// haTimeout is the manager's timeout for a shutdown; after it, the manager stops the VM.
const haTimeout = Duration(time.Minute)

// haLater acts on a VM after the manager's reaction time.
func (s *Sim) haLater(id int, act func(v *vm, own *request)) {
	s.spawn(func() {
		if s.sleep(s.ctx, s.timings.HA) != nil {
			return
		}
		s.lock()
		defer s.unlock()
		if v := s.vms[id]; v != nil && v.haManaged() && !s.hosts[v.node].Offline && s.quorate() {
			act(v, s.ownRequest(v))
		}
	})
}

// ownRequest is a request of the manager itself.
func (s *Sim) ownRequest(v *vm) *request {
	return &request{ctx: s.ctx, caller: identity{user: "root@pam"}, args: args{
		"node": {values: []string{v.node}}, "vmid": {values: []string{strconv.Itoa(v.id)}},
	}}
}

// haTold is called when a resource was created or changed.
func (s *Sim) haTold(v *vm) {
	s.changed(VMConfigured, v.node, v.id, "")
	s.haLater(v.id, func(v *vm, own *request) {
		s.haSettle(v, own, func() { s.queueShutdown(own, haTimeout, true, false) })
	})
}

// haSettle brings a VM to the requested state.
func (s *Sim) haSettle(v *vm, own *request, stop func()) {
	switch running := v.run != nil || v.starting; v.ha.wanted() {
	case "started":
		if !running {
			s.queueStart(own, v.id, 0)
		}
	case "stopped", "disabled":
		if running {
			stop()
		}
	}
}

// haRequest handles start and stop of a VM that the HA manager manages: the task writes
// the requested state, and the manager acts on it.
func (s *Sim) haRequest(r *request, kind string, stop func(own *request)) string {
	id := r.vmid()
	verb, state := "start", "started"
	if kind == "hastop" {
		verb, state = "stop", "stopped"
	}
	return s.startTask(r, r.node(), kind, fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		t.note("Requesting HA %s for VM %d", verb, id)
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		if err := s.clusterLock(t.ctx, haLock); err != nil {
			return err
		}
		v := s.vms[id]
		if v == nil || v.ha == nil {
			return die("resource 'vm:%d' is not HA managed", id)
		}
		v.ha.options = merge(v.ha.options, map[string]any{"state": state})
		s.haLater(id, func(v *vm, own *request) { s.haSettle(v, own, func() { stop(own) }) })
		return nil
	})
}

// moveHAResource asks the manager to move a VM to another host: migrate moves it while
// it is running, relocate stops it before.
func (s *Sim) moveHAResource(r *request) (any, error) {
	sid, _, _, err := s.parseSID(r.args.get("sid"))
	if err != nil {
		return nil, err
	}
	v := s.haGuest(sid)
	if v == nil || !v.haManaged() {
		return nil, die("resource '%s' is not HA managed", sid)
	}
	if v.run != nil && strings.HasSuffix(r.path, "/migrate") {
		return nil, notSimulated("live migration")
	}
	target := r.args.get("node")
	s.haMove(v.id, target)
	return map[string]any{"sid": sid, "requested-node": target}, nil
}

// haMigrate handles a user's migration of a VM that the manager manages.
func (s *Sim) haMigrate(r *request, target string) string {
	id := r.vmid()
	return s.startTask(r, r.node(), "hamigrate", fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		t.note("Requesting HA migration for VM %d to node %s", id, target)
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		if err := s.clusterLock(t.ctx, haLock); err != nil {
			return err
		}
		s.haMove(id, target)
		return nil
	})
}

// haMove stops a running VM, moves it, and brings it to the requested state. The manager
// ignores unknown hosts and the VM's current host.
func (s *Sim) haMove(id int, target string) {
	s.haLater(id, func(v *vm, _ *request) {
		if h := s.hosts[target]; h == nil || h.Offline || v.node == target {
			return
		}
		var steps []func(own *request) (upid string)
		if v.run != nil {
			steps = append(steps, func(own *request) string { return s.queueShutdown(own, haTimeout, true, false) })
		}
		steps = append(steps, func(own *request) string { return s.queueMigrate(own, target, true, 0) })
		s.spawn(func() { s.haFollow(id, steps) })
	})
}

// haFollow runs tasks one after the other, and then brings the VM to the requested
// state.
func (s *Sim) haFollow(id int, steps []func(own *request) (upid string)) {
	s.lock()
	defer s.unlock()
	for _, step := range steps {
		v := s.vms[id]
		if v == nil || !v.haManaged() {
			return
		}
		t := s.byUPID[step(s.ownRequest(v))]
		s.unlock()
		select {
		case <-t.done:
		case <-s.ctx.Done():
		}
		s.lock()
	}
	if v := s.vms[id]; v != nil && v.haManaged() {
		own := s.ownRequest(v)
		s.haSettle(v, own, func() { s.queueShutdown(own, haTimeout, true, false) })
	}
}
