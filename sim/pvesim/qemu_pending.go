package pvesim

import (
	"fmt"
	"maps"
	"slices"
)

// dropPending removes a pending value; a disk that was created for it becomes an unused
// disk.
func (s *Sim) dropPending(v *vm, key string) {
	value, ok := v.pending[key]
	if !ok {
		return
	}
	delete(v.pending, key)
	if isDrive(key) {
		s.unuse(v, parseDrive(value))
	}
}

// unuse keeps a disk of the VM as unusedN; a cloud-init drive is removed.
func (s *Sim) unuse(v *vm, d drive) {
	st, vol := s.volumeOf(v.node, d)
	if vol == nil || vol.vmid != v.id {
		return
	}
	if d.isCloudInit() {
		s.remove(st, vol)
		return
	}
	if d.isCDROM() || v.hasDrive(d.file) {
		return
	}
	v.keepUnused(d.file)
}

// keepUnused adds an unusedN option for a volume that no drive uses any more.
func (v *vm) keepUnused(volid string) {
	for key, value := range v.conf {
		if hasIndex(key, "unused") && value == volid {
			return
		}
	}
	v.conf[fmt.Sprint("unused", nextUnused(v))] = volid
}

// dropReused removes unusedN options whose volume is used by a drive again.
func (v *vm) dropReused() {
	used := map[string]bool{}
	for _, conf := range []map[string]string{v.conf, v.pending} {
		for key, value := range conf {
			if isDrive(key) {
				used[parseDrive(value).file] = true
			}
		}
	}
	maps.DeleteFunc(v.conf, func(key, value string) bool { return hasIndex(key, "unused") && used[parseDrive(value).file] })
}

// hasDrive reports whether a volume is one of the VM's drives.
func (v *vm) hasDrive(volid string) bool {
	for key, value := range v.conf {
		if isDrive(key) && parseDrive(value).file == volid {
			return true
		}
	}
	return false
}

// applyAll applies all pending changes of a stopped VM. It cannot fail.
func (s *Sim) applyAll(v *vm) {
	for _, key := range slices.Sorted(maps.Keys(v.deletes)) {
		s.applyDelete(v, key)
	}
	for _, key := range slices.Sorted(maps.Keys(v.pending)) {
		s.applySet(v, key, v.pending[key])
	}
}

// applyPending applies pending changes: all of them if the VM is stopped; if it is
// running, those of this request that can be hotplugged.
func (s *Sim) applyPending(v *vm, keys []string) error {
	if v.run == nil {
		s.applyAll(v)
		return nil
	}
	can := pluggable(v.conf)
	for _, key := range keys {
		if v.deletes[key] && can.unplug(v, key) {
			s.applyDelete(v, key)
		}
	}
	complaints := map[string]string{}
	for _, key := range slices.Sorted(slices.Values(keys)) {
		value, pending := v.pending[key]
		current, had := v.conf[key]
		switch {
		case !pending:
		case mediaChange(current, value, key):
			complaints[key] = "hotplug problem - unable to change media type\n"
		case can.plug(v, key):
			s.applySet(v, key, value)
		case had && current == value:
			// The new value is the current one, so it is not pending.
			delete(v.pending, key)
		}
	}
	if len(complaints) > 0 {
		return badParams(complaints)
	}
	return nil
}

// mediaChange reports whether a disk would become a CD drive or vice versa.
func mediaChange(old, value, key string) bool {
	return isDrive(key) && old != "" && parseDrive(old).isCDROM() != parseDrive(value).isCDROM()
}

func (s *Sim) applyDelete(v *vm, key string) {
	value := v.conf[key]
	delete(v.conf, key)
	delete(v.deletes, key)
	st, vol := s.volumeOf(v.node, parseDrive(value))
	ours := vol != nil && vol.vmid == v.id && !st.inUse(vol)
	switch {
	case isDrive(key) && ours && v.forced[key]:
		s.remove(st, vol)
	case isDrive(key):
		s.unuse(v, parseDrive(value))
	case hasIndex(key, "unused") && ours:
		s.remove(st, vol)
	}
	delete(v.forced, key)
}

func (s *Sim) applySet(v *vm, key, value string) {
	old, had := v.conf[key]
	delete(v.pending, key)
	v.conf[key] = value
	if key == "description" && value == "" {
		delete(v.conf, key)
	}
	if !isDrive(key) {
		return
	}
	d, was := parseDrive(value), parseDrive(old)
	if !had || was.file == d.file {
		return
	}
	if v.run != nil && was.isCloudInit() && d.file != "none" {
		// The medium was changed: the volume of the cloud-init drive stays, in no
		// configuration any more.
		return
	}
	s.unuse(v, was)
}
