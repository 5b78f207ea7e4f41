package pvesim

import (
	"cmp"
	"fmt"
	"slices"
)

func diskCalls() []call {
	base := "/nodes/{node}/qemu/{vmid}"
	disk := perm("/vms/{vmid}", "VM.Config.Disk")
	movable := append(slices.Clone(diskKeys), unusedKeys()...)
	return []call{
		{method: "POST", path: base + "/move_disk", may: disk, serve: (*Sim).moveDisk, protected: true, params: specs{
			"disk": oneOf(movable...).req(), "storage": storageSpec(), "format": oneOf("raw", "qcow2", "vmdk"), "delete": boolean(),
			"digest": text().upTo(40), "bwlimit": integer().atLeast(0), "target-vmid": vmidSpec(), "target-disk": oneOf(movable...), "target-digest": text().upTo(40)}},
		{method: "PUT", path: base + "/unlink", may: disk, serve: (*Sim).unlinkDisk, waits: true, protected: true,
			params: specs{"idlist": formatted(configListFormat).asList().req(), "force": boolean()}},
	}
}

// unlinkDisk is a change of the configuration that only deletes.
func (s *Sim) unlinkDisk(r *request) (any, error) {
	change := *r
	change.args = args{"node": r.args["node"], "vmid": r.args["vmid"], "delete": r.args["idlist"]}
	if r.args.has("force") {
		change.args["force"] = r.args["force"]
	}
	return s.putConfig(&change)
}

// moveDisk copies a disk to another storage; the source stays as an unused
// disk unless delete is set.
func (s *Sim) moveDisk(r *request) (any, error) {
	if !r.args.has("storage") && !r.args.has("target-vmid") {
		const missing = "both 'storage' and 'target-vmid' missing, either needs to be set"
		return nil, badParams(map[string]string{"storage": missing, "target-vmid": missing})
	}
	if r.args.has("target-vmid") && r.args.has("storage") {
		const both = "either set 'storage' or 'target-vmid', but not both"
		return nil, badParams(map[string]string{"storage": both, "target-vmid": both})
	}
	if r.args.has("target-vmid") {
		return s.reassignDisk(r)
	}
	key, to, format, remove := r.args.get("disk"), r.args.get("storage"), r.args.get("format"), r.args.flag("delete")
	limit := r.args.number("bwlimit", 0)
	if err := s.need(r.caller, "/storage/"+to, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if err := v.checkLock(); err != nil {
		return nil, err
	}
	if digest := r.args.get("digest"); digest != "" && digest != v.digest() {
		return nil, die("detected modified configuration - file changed by other user? Try again.")
	}
	vol, err := s.movable(v, key, to, format)
	if err != nil {
		return nil, err
	}
	if remove && v.names(parseDrive(v.conf[key]).file, key) && vol != nil {
		return nil, die("you can't move a disk with snapshots and delete the source")
	}
	return s.powerTask(r, "qmmove", func(t *task, v *vm) error {
		if err := v.checkLock(); err != nil {
			return err
		}
		return s.move(t, v, key, to, format, remove, limit)
	}), nil
}

// movable returns the disk of an option, if it may be moved to this storage.
func (s *Sim) movable(v *vm, key, to, format string) (*volume, error) {
	value, ok := v.conf[key]
	if !ok {
		return nil, die("disk '%s' does not exist", key)
	}
	d := parseDrive(value)
	from, vol := s.volumeOf(v.node, d)
	switch {
	case d.isCDROM() && !d.isCloudInit():
		return nil, die("you can't move a cdrom")
	case vol == nil:
		return nil, die("volume '%s' does not exist", d.file)
	case from.Name == to && (format == "" || format == vol.format):
		return nil, die("you can't move to the same storage with same format")
	}
	target, err := s.storageOn(v.node, to)
	if err == nil && !target.holds("images") {
		err = badParam("storage", "storage '%s' does not support vm images", to)
	}
	return vol, err
}

func (s *Sim) move(t *task, v *vm, key, to, format string, remove bool, limit int) error {
	vol, err := s.movable(v, key, to, format)
	if err != nil {
		return err
	}
	d := parseDrive(v.conf[key])
	from, _ := s.volumeOf(v.node, d)
	target, err := s.storageOn(v.node, to)
	if err != nil {
		return err
	}
	source := d.file
	t.note("copying volume '%s' from current storage '%s' to target storage '%s'", source, from.Name, to)
	if v.names(source, key) {
		t.note("moving disk with snapshots, snapshots will not be moved!")
	}
	t.note("create full clone of drive %s (%s)", key, source)
	name := ""
	if d.isCloudInit() {
		name = fmt.Sprintf("vm-%d-cloudinit", v.id)
	}
	copied, err := s.allocate(t.ctx, target, v.node, v.id, name, cmp.Or(format, vol.format), vol.size)
	if err != nil {
		return err
	}
	t.note("%s", target.formatLine(copied, nil))
	t.note("allocated target volume '%s'", target.volid(copied))
	if err := s.pause(t, s.copyTime(vol.size, limit)); err != nil {
		if !died(err) {
			s.remove(target, copied)
		}
		return err
	}
	if err := s.writable(v, t.pid); err != nil {
		s.remove(target, copied)
		return die("storage migration failed: %v", err)
	}
	old := drive{file: source}
	d.file = target.volid(copied)
	if d.isCloudInit() {
		d.props["size"] = formatSize(copied.size)
	}
	v.conf[key] = d.String()
	if d.isCloudInit() && !remove {
		t.note("found unused cloudinit disk '%s', removing it", source)
		s.remove(from, vol)
		s.changed(VMConfigured, v.node, v.id, "")
		return nil
	}
	if remove {
		t.note("removing source volume '%s' after successful copy", source)
		s.remove(from, vol)
	} else {
		t.note("adding source volume '%s' as 'unused%d' to config", source, nextUnused(v))
		s.unuse(v, old)
	}
	s.changed(VMConfigured, v.node, v.id, "")
	return nil
}

// nextUnused is the number for the next unused disk.
func nextUnused(v *vm) int {
	for n := 0; ; n++ {
		if v.conf[fmt.Sprint("unused", n)] == "" {
			return n
		}
	}
}
