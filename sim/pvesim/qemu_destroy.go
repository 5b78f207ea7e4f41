package pvesim

import "fmt"

// destroyVM refuses protected and running VMs at once; locks and linked clones
// make the task fail.
func (s *Sim) destroyVM(r *request) (any, error) {
	if _, err := rootSkiplock(r); err != nil {
		return nil, err
	}
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if v.conf["protection"] == "1" {
		return nil, die("can't remove VM %d - protection mode enabled", v.id)
	}
	if v.ha != nil && !r.args.flag("purge") {
		return nil, die("unable to remove VM %d - used in HA resources and purge parameter not set.", v.id)
	}
	if v.run != nil {
		return nil, die("VM %d is running - destroy failed", v.id)
	}
	skiplock, purge, strays := r.args.flag("skiplock"), r.args.flag("purge"), r.args.flag("destroy-unreferenced-disks")
	id := v.id
	return s.startTask(r, r.node(), "qmdestroy", fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		if err := s.acquireVM(t.ctx, t.node, id); err != nil {
			return err
		}
		defer s.releaseVM(t.node, id)
		v, err := s.checkDestroy(t.node, id, skiplock, purge)
		if err != nil {
			return err
		}
		if err := s.pause(t, s.timings.Destroy); err != nil {
			return err
		}
		if err := s.writable(v, t.pid); err != nil {
			return err
		}
		s.destroy(v, strays)
		if purge {
			t.note("purging VM %d from related configurations..", id)
			if v.ha != nil {
				t.note("NOTE: removed VM %d from HA resource configuration.", id)
			}
		}
		return nil
	}), nil
}

// checkDestroy repeats the checks under the VM's lock.
func (s *Sim) checkDestroy(node string, id int, skiplock, purge bool) (*vm, error) {
	v, err := s.vmOn(node, id)
	if err != nil {
		return nil, err
	}
	switch {
	case v.conf["protection"] == "1":
		return nil, die("can't remove VM %d - protection mode enabled", id)
	case v.ha != nil && !purge:
		return nil, die("unable to remove VM %d - used in HA resources and purge parameter not set.", id)
	case v.run != nil:
		return nil, die("VM %d is running - destroy failed", id)
	case !skiplock && v.checkLock() != nil:
		return nil, v.checkLock()
	}
	for _, key := range baseCheckOrder(v) {
		if st, vol := s.volumeOf(v.node, parseDrive(v.conf[key])); vol != nil && st.inUse(vol) {
			return nil, die("base volume '%s' is still in use by linked cloned", st.volid(vol))
		}
	}
	return v, nil
}

// baseCheckOrder returns the VM's disks, ordinary ones before the EFI variable store.
func baseCheckOrder(v *vm) []string {
	var keys []string
	for _, key := range diskKeys {
		if v.conf[key] != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// destroy removes a VM and its disks and, with strays, other disks with its number.
func (s *Sim) destroy(v *vm, strays bool) {
	for key, value := range merge(v.conf, v.pending) {
		if !isDrive(key) && !hasIndex(key, "unused") {
			continue
		}
		if st, vol := s.volumeOf(v.node, parseDrive(value)); vol != nil && vol.vmid == v.id {
			s.remove(st, vol)
		}
	}
	if strays {
		for _, id := range s.storeIDs {
			st := s.storages[id]
			for _, vol := range append([]*volume(nil), st.volumes...) {
				if vol.vmid == v.id && (vol.node == "" || vol.node == v.node) {
					s.remove(st, vol)
				}
			}
		}
	}
	s.leavePool(v.id)
	s.access.forget(func(rule ACL) bool { return rule.Path == vmPath(v.id) })
	delete(s.vms, v.id)
	s.changed(VMDestroyed, v.node, v.id, "")
}
