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
	if d.isCDROM() || v.hasDrive(d.file) {
		return
	}
	v.conf[fmt.Sprint("unused", nextUnused(v))] = d.file
}

// hasDrive tells whether a volume is one of the VM's drives.
func (v *vm) hasDrive(volid string) bool {
	for key, value := range v.conf {
		if isDrive(key) && parseDrive(value).file == volid {
			return true
		}
	}
	return false
}

// alwaysApplied are options that take effect while the VM runs.
var alwaysApplied = []string{"description", "hookscript", "lock", "migrate_downtime", "migrate_speed", "name", "onboot",
	"protection", "shares", "startup", "tags", "vmstatestorage", "template", "cpulimit", "cpuunits", "tablet"}

// hotplugWaits: who switches the hotplug of memory or CPUs restarts the VM.
func hotplugWaits(v *vm) bool {
	both := v.conf["hotplug"] + "," + v.pending["hotplug"]
	return strings.Contains(both, "memory") || strings.Contains(both, "cpu")
}

// hotplugged tells whether a change of an option applies to a running VM:
// network cards, SCSI and virtio disks and media of CD drives do; hostpci,
// memory, cores and most others wait for a restart.
func hotplugged(v *vm, key string) bool {
	if slices.Contains(alwaysApplied, key) || hasIndex(key, "unused") || isNet(key) {
		return true
	}
	if slices.Contains(cloudInitOptions, key) || hasIndex(key, "ipconfig") {
		return true
	}
	if key == "hotplug" {
		return !hotplugWaits(v)
	}
	if key == "balloon" {
		return v.conf["balloon"] != "0" && v.pending["balloon"] != "0" && !v.deletes["balloon"]
	}
	old, had := v.conf[key]
	value, set := v.pending[key]
	if key == "agent" {
		return had && set && onlyDiffers(agentFormat.parse(old), agentFormat.parse(value), "fstrim_cloned_disks")
	}
	return isDrive(key) && driveHotplugged(key, old, value)
}

// fixedProps are properties of a disk that the guest sees: they wait for a restart.
var fixedProps = []string{"aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro"}

// driveHotplugged tells whether a drive may change while the VM runs: media of
// CD drives and limits of any disk do, and disks of buses that can be plugged.
func driveHotplugged(key, old, value string) bool {
	if key == "efidisk0" || key == "tpmstate0" {
		return false
	}
	was, is := parseDrive(old), parseDrive(value)
	if old != "" && value != "" && was.isCDROM() && is.isCDROM() {
		return true
	}
	if old != "" && was.file == is.file {
		for _, name := range fixedProps {
			if was.props[name] != is.props[name] {
				return false
			}
		}
		return true
	}
	return hasIndex(key, "scsi") || hasIndex(key, "virtio")
}

// onlyDiffers tells whether two values are equal but for one property.
func onlyDiffers(a, b map[string]string, name string) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	delete(a, name)
	delete(b, name)
	return maps.Equal(a, b)
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
