package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// dropPending forgets a pending value; a disk that was made for it becomes an
// unused one.
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
	if d.isCDROM() {
		return
	}
	v.conf[fmt.Sprint("unused", nextUnused(v))] = d.file
}

// alwaysApplied are options that take effect while the VM runs.
var alwaysApplied = []string{"description", "hookscript", "lock", "migrate_downtime", "migrate_speed", "name", "onboot",
	"protection", "shares", "startup", "tags", "vmstatestorage", "template", "cpulimit", "cpuunits"}

// hotplugged tells whether a change of an option applies to a running VM:
// network cards, SCSI and virtio disks and media of CD drives do; hostpci,
// memory, cores and most others wait for a restart.
func hotplugged(v *vm, key string) bool {
	if slices.Contains(alwaysApplied, key) || hasIndex(key, "unused") || isNet(key) {
		return true
	}
	if key == "balloon" {
		return v.conf["balloon"] != "0" && v.pending["balloon"] != "0" && !v.deletes["balloon"]
	}
	if !isDrive(key) {
		return false
	}
	old, had := v.conf[key]
	value, set := v.pending[key]
	if had && set && parseDrive(old).isCDROM() && parseDrive(value).isCDROM() {
		return true
	}
	return hasIndex(key, "scsi") || hasIndex(key, "virtio")
}

// applyAll brings all pending changes of a VM that is off into effect. Nothing
// can go wrong with that.
func (s *Sim) applyAll(v *vm) {
	for _, key := range slices.Sorted(maps.Keys(v.deletes)) {
		s.applyDelete(v, key)
	}
	for _, key := range slices.Sorted(maps.Keys(v.pending)) {
		s.applySet(v, key, v.pending[key])
	}
}

// applyPending brings pending changes into effect: all of them when the VM is
// off, of those of this request that can be hotplugged when it runs.
func (s *Sim) applyPending(v *vm, keys []string) error {
	if v.run == nil {
		s.applyAll(v)
		return nil
	}
	for _, key := range keys {
		if v.deletes[key] && hotplugged(v, key) {
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
		case hotplugged(v, key):
			s.applySet(v, key, value)
		case had && current == value:
			// What runs now is no change.
			delete(v.pending, key)
		}
	}
	if len(complaints) > 0 {
		return badParams(complaints)
	}
	return nil
}

// mediaChange tells a disk that would become a CD drive or the other way.
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
	if _, changing := v.pending["boot"]; !changing {
		dropFromBoot(v.conf, key)
	}
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
	d := parseDrive(value)
	if had && parseDrive(old).file != d.file {
		s.unuse(v, parseDrive(old))
	}
	// A new CD drive is appended to the boot order; disks are not.
	if order, ok := strings.CutPrefix(v.conf["boot"], "order="); ok && !had && d.isCDROM() && !d.isCloudInit() {
		v.conf["boot"] = "order=" + order + ";" + key
	}
}

func dropFromBoot(conf map[string]string, key string) {
	order, ok := strings.CutPrefix(conf["boot"], "order=")
	if !ok {
		return
	}
	keys := strings.Split(order, ";")
	left := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == key })
	if len(left) == len(keys) {
		return
	}
	conf["boot"] = ""
	if len(left) > 0 {
		conf["boot"] = "order=" + strings.Join(left, ";")
	}
}
