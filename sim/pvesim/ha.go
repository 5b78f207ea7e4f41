package pvesim

import "fmt"

// haResources lists the VMs that the HA manager looks after.
func (s *Sim) haResources(*request) (any, error) {
	out := []any{}
	for _, id := range s.vmIDs() {
		if s.vms[id].ha {
			out = append(out, map[string]any{"sid": fmt.Sprintf("vm:%d", id), "type": "vm", "state": s.vms[id].haState(),
				"max_restart": 1, "max_relocate": 1, "digest": sha1Hex(fmt.Sprint(s.vmIDs()))})
		}
	}
	return out, nil
}

func (v *vm) haState() string {
	if v.run != nil {
		return "started"
	}
	return "stopped"
}

// haStatus is the part of a VM's status that is about HA.
func (v *vm) haStatus() map[string]any {
	if !v.ha {
		return map[string]any{"managed": 0}
	}
	return map[string]any{"managed": 1, "state": v.haState()}
}

// haRequest is what start and stop of a VM that the HA manager looks after
// are: the task only asks the manager, which acts by itself some seconds
// later, as root@pam.
func (s *Sim) haRequest(r *request, kind string, act func(*request)) string {
	id, node := r.vmid(), r.node()
	verb := map[string]string{"hastart": "start", "hastop": "stop"}[kind]
	return s.startTask(r, node, kind, fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		t.note("Requesting HA %s for VM %d", verb, id)
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		s.spawn(func() {
			if s.sleep(s.ctx, s.timings.HA) != nil {
				return
			}
			s.lock()
			defer s.unlock()
			if v := s.vms[id]; v != nil && v.node == node && v.ha && !s.hosts[node].Offline {
				act(&request{ctx: s.ctx, who: identity{user: "root@pam"}, args: r.args})
			}
		})
		return nil
	})
}
