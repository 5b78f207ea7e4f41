package pvesim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// makeDrive turns the value of a drive option into the stored value: it creates new
// disks and adds sizes. say receives the lines for the task's log.
func (s *Sim) makeDrive(ctx context.Context, v *vm, conf map[string]string, key, value string, say func(string, ...any)) (string, error) {
	d := parseDrive(value)
	if name, ok := d.newCloudInit(); ok {
		return s.makeCloudInit(ctx, v, conf, key, name, d, say)
	}
	if name, size, ok := d.allocation(); ok {
		st, err := s.activeStorage(v.node, name)
		if err != nil {
			return "", err
		}
		if source := d.props["import-from"]; source != "" {
			return s.importDrive(ctx, v, key, d, st, say)
		}
		bytes := int64(size * float64(gib))
		if key == "efidisk0" || key == "tpmstate0" {
			bytes = firmwareSize(st, key)
		}
		vol, err := s.allocate(ctx, st, v.node, v.id, "", d.props["format"], bytes)
		if err != nil {
			return "", err
		}
		say("%s", st.formatLine(vol, nil))
		delete(d.props, "format")
		d.file = st.volid(vol)
		d.props["size"] = formatSize(vol.size)
		say("%s: successfully created disk '%s'", key, d)
		return d.String(), nil
	}
	if strings.HasPrefix(d.file, "/dev/") {
		return "", die("volume %s does not exist", d.file)
	}
	if name, _, ok := d.volume(); ok {
		if _, err := s.activeStorage(v.node, name); err != nil {
			return "", err
		}
		_, vol := s.volumeOf(v.node, d)
		switch {
		case vol == nil:
			return "", die("volume '%s' does not exist", d.file)
		case vol.empty:
			return "", die("volume %s does not exist", d.file)
		}
		if !d.isCloudInit() {
			d.props["size"] = formatSize(vol.size)
		}
	}
	return d.String(), nil
}

// importDrive creates a drive as a copy of another volume. bpg's provider creates disks
// from cloud images so (import_from). Copying takes no time here.
func (s *Sim) importDrive(ctx context.Context, v *vm, key string, d drive, to *storage, say func(string, ...any)) (string, error) {
	source := drive{file: d.props["import-from"]}
	if _, _, ok := source.volume(); !ok {
		return "", notSimulated("importing from a path")
	}
	_, vol := s.volumeOf(v.node, source)
	if vol == nil {
		return "", die("volume_size_info on '%s' failed - no format", source.file)
	}
	say("create full clone of drive %s (%s)", key, source.file)
	copied, err := s.allocate(ctx, to, v.node, v.id, "", cmp.Or(d.props["format"], vol.format), vol.size)
	if err != nil {
		return "", err
	}
	say("%s", to.formatLine(copied, nil))
	say("allocated target volume '%s'", to.volid(copied))
	delete(d.props, "format")
	delete(d.props, "import-from")
	d.file = to.volid(copied)
	d.props["size"] = formatSize(copied.size)
	say("%s: successfully created disk '%s'", key, d)
	return d.String(), nil
}

// firmwareSize is the size of an EFI variable store or TPM state.
func firmwareSize(st *storage, key string) int64 {
	if key == "efidisk0" && st.files() {
		return 528 * kib
	}
	return 4 * mib
}

func (s *Sim) makeCloudInit(ctx context.Context, v *vm, conf map[string]string, key, name string, d drive, say func(string, ...any)) (string, error) {
	for _, other := range diskKeys {
		if other != key && conf[other] != "" && parseDrive(conf[other]).isCloudInit() {
			return "", die("%s - cloud-init drive is already attached at '%s'", key, other)
		}
	}
	st, err := s.activeStorage(v.node, name)
	if err != nil {
		return "", err
	}
	vol, err := s.allocate(ctx, st, v.node, v.id, fmt.Sprintf("vm-%d-cloudinit", v.id), "qcow2", 4*mib)
	if err != nil {
		return "", err
	}
	say("%s", st.formatLine(vol, nil))
	d.file = st.volid(vol)
	d.props["media"] = "cdrom"
	say("%s: successfully created disk '%s'", key, d)
	return d.String(), nil
}

// resizeDisk always returns a task; errors are those of the task.
func (s *Sim) resizeDisk(r *request) (any, error) {
	if _, err := rootSkiplock(r); err != nil {
		return nil, err
	}
	if _, err := s.vmOn(r.node(), r.vmid()); err != nil {
		return nil, err
	}
	caller, id, key, size, digest, skiplock := r.caller, r.vmid(), r.args.get("disk"), r.args.get("size"), r.args.get("digest"), r.args.flag("skiplock")
	return s.startTask(r, r.node(), "resize", fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		if err := s.pause(t, s.timings.Resize); err != nil {
			return err
		}
		if err := s.acquireVM(t.ctx, t.node, id); err != nil {
			return err
		}
		defer s.releaseVM(t.node, id)
		v, err := s.vmOn(t.node, id)
		if err != nil {
			return err
		}
		if digest != "" && digest != v.digest() {
			return die("checksum mismatch (file change by other user?)")
		}
		if err := v.checkLock(); err != nil && !skiplock {
			return err
		}
		return s.resize(t, caller, v, key, size)
	}), nil
}

func (s *Sim) resize(t *task, caller identity, v *vm, key, size string) error {
	value, ok := v.conf[key]
	if !ok {
		return die("disk '%s' does not exist", key)
	}
	d := parseDrive(value)
	name, _, ok := d.volume()
	switch {
	case !ok:
		return die("unable to parse volume ID '%s'", d.file)
	case d.isCDROM():
		return die("you can't resize a cdrom")
	}
	if err := s.need(caller, "/storage/"+name, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	_, vol := s.volumeOf(v.node, d)
	if vol == nil {
		return die("volume '%s' does not exist", d.file)
	}
	bytes := parseSize(strings.TrimPrefix(size, "+"))
	if strings.HasPrefix(size, "+") {
		bytes += vol.size
	}
	switch {
	case bytes < vol.size:
		return die("shrinking disks is not supported")
	case bytes == vol.size:
		return nil
	}
	vol.size = bytes
	if err := s.writable(v, t.pid); err != nil {
		return err
	}
	d.props["size"] = formatSize(bytes)
	v.conf[key] = d.String()
	t.note("Image resized.")
	s.changed(VMConfigured, v.node, v.id, "")
	return nil
}

// makeTemplate turns a VM into a template: its disks become base images.
func (s *Sim) makeTemplate(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	switch {
	case v.checkLock() != nil:
		return nil, v.checkLock()
	case v.template():
		return nil, die("you can't convert a template to a template")
	case len(v.snapshots) > 0:
		return nil, die("unable to create template, because VM contains snapshots")
	case v.run != nil:
		return nil, die("you can't convert a VM to template if VM is running")
	}
	disk := r.args.get("disk")
	return s.startTask(r, r.node(), "qmtemplate", fmt.Sprint(v.id), func(t *task) error {
		s.lock()
		defer s.unlock()
		if err := s.acquireVM(t.ctx, t.node, v.id); err != nil {
			return err
		}
		defer s.releaseVM(t.node, v.id)
		if err := v.checkLock(); err != nil {
			return err
		}
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		if err := s.writable(v, t.pid); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(v.conf)) {
			if isDrive(key) && (disk == "" || disk == key) {
				s.makeBase(v, key)
			}
		}
		v.conf["template"] = "1"
		s.changed(VMConfigured, v.node, v.id, "")
		return nil
	}), nil
}

func (s *Sim) makeBase(v *vm, key string) { v.conf[key] = s.baseOf(v, v.conf[key]) }

// baseOf turns a template's disk into a base image and returns its new value.
func (s *Sim) baseOf(v *vm, value string) string {
	d := parseDrive(value)
	st, vol := s.volumeOf(v.node, d)
	if vol == nil || d.isCDROM() || d.isCloudInit() || vol.vmid != v.id || isBase(vol) {
		return value
	}
	st.rename(vol, func() {
		vol.name = strings.Replace(vol.name, fmt.Sprintf("vm-%d-", v.id), fmt.Sprintf("base-%d-", v.id), 1)
	})
	d.file = st.volid(vol)
	return d.String()
}
