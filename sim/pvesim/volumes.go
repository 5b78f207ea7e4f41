package pvesim

import (
	"context"
	"fmt"
	"strings"
)

// seesVolume reports whether the caller may see a volume. Disks of VMs need
// VM.Config.Disk on the VM in addition to Datastore.Audit; Datastore.Allocate is enough
// for all volumes.
func (s *Sim) seesVolume(r *request, st *storage, v *volume) bool {
	path := "/storage/" + st.Name
	if s.may(r.caller, path, "Datastore.Allocate") {
		return true
	}
	switch v.content {
	case "images", "rootdir":
		return s.may(r.caller, path, "Datastore.Audit") && s.may(r.caller, vmPath(v.vmid), "VM.Config.Disk")
	case "iso", "vztmpl", "import":
		return s.may(r.caller, path, "Datastore.Audit", "Datastore.AllocateSpace", "Datastore.AllocateTemplate")
	}
	return s.may(r.caller, path, "Datastore.Audit")
}

func (s *Sim) listContent(r *request) (any, error) {
	st, err := s.activeStorage(r.node(), r.args.get("storage"))
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range st.volumes {
		if v.node != "" && v.node != r.node() || !s.seesVolume(r, st, v) {
			continue
		}
		if r.args.has("content") && r.args.get("content") != v.content || r.args.has("vmid") && r.vmid() != v.vmid {
			continue
		}
		out = append(out, st.contentEntry(v))
	}
	return out, nil
}

func (st *storage) contentEntry(v *volume) map[string]any {
	out := map[string]any{"volid": st.volid(v), "content": v.content, "format": v.format, "size": v.size, "ctime": v.ctime.Unix()}
	if v.content != "images" {
		return out
	}
	out["vmid"] = v.vmid
	if st.files() {
		out["parent"], out["used"] = nil, min(v.size, 4096)
		if v.parent != "" {
			out["parent"] = "../" + v.parent
		}
	}
	return out
}

// volumeArg returns the volume in a path, with or without the storage before it.
func (s *Sim) volumeArg(r *request) (*storage, volumeKind, string, error) {
	name, volume := r.args.get("storage"), r.args.get("volume")
	if m := volumeIDForm.FindStringSubmatch(volume); m != nil {
		if m[1] != name {
			return nil, volumeKind{}, "", badParam("volume", "storage ID mismatch (%s != %s)\n", m[1], name)
		}
		volume = m[2]
	}
	st := s.storages[name]
	if st == nil {
		return nil, volumeKind{}, "", die("storage '%s' does not exist", name)
	}
	kind, err := parseVolumeName(st, volume)
	return st, kind, volume, err
}

func (s *Sim) getVolume(r *request) (any, error) {
	st, kind, name, err := s.volumeArg(r)
	if err != nil {
		return nil, err
	}
	if err := s.volumePerm(r.caller, 0, drive{file: st.Name + ":" + name}); err != nil {
		return nil, err
	}
	if _, err := s.storageOn(r.node(), st.Name); err != nil {
		return nil, err
	}
	v := st.find(r.node(), name)
	if v == nil {
		return nil, die("volume_size_info on '%s:%s' failed - no format", st.Name, name)
	}
	if v.empty {
		return nil, die("volume '%s' has size zero", st.volid(v))
	}
	format := v.format
	if kind.content != "images" {
		format = "raw"
	}
	return map[string]any{"format": format, "path": st.path(v), "size": v.size, "used": (v.size + 4095) / 4096 * 4096}, nil
}

func (s *Sim) createVolume(r *request) (any, error) {
	st, err := s.storageOn(r.node(), r.args.get("storage"))
	if err != nil {
		return nil, err
	}
	name := r.args.get("filename")
	size := parseSize(r.args.get("size"))
	if size == 0 || !strings.ContainsAny(r.args.get("size"), "MG") {
		size *= kib
	}
	base, format := name, r.args.get("format")
	if st.files() {
		kind, err := parseVolumeName(st, fmt.Sprintf("%d/%s", r.vmid(), name))
		switch {
		case strings.Contains(name, "/"):
			return nil, die("unable to parse volume filename '%s'", name)
		case err != nil:
			return nil, err
		case format != "" && format != kind.format:
			return nil, badParam("format", "different storage formats (%s != %s)", format, kind.format)
		}
		base, format = strings.TrimSuffix(name, "."+kind.format), kind.format
	}
	v, err := s.allocate(context.WithoutCancel(r.ctx), st, r.node(), r.vmid(), base, format, size)
	if err != nil {
		return nil, err
	}
	return st.volid(v), nil
}

// deleteVolume does not check whether a VM uses the disk, only whether linked clones do.
// With delay it waits for the task.
func (s *Sim) deleteVolume(r *request) (any, error) {
	s.lock()
	upid, err := s.queueDeletion(r)
	s.unlock()
	if err != nil || !r.args.has("delay") {
		return upid, err
	}
	return s.await(upid, r.args.number("delay", 0), "failed to remove volume")
}

func (s *Sim) queueDeletion(r *request) (upid string, err error) {
	st, kind, name, err := s.volumeArg(r)
	if err != nil {
		return "", err
	}
	if err := s.need(r.caller, "/storage/"+st.Name, "Datastore.Allocate"); err != nil {
		return "", err
	}
	if _, err := s.storageOn(r.node(), st.Name); err != nil {
		return "", err
	}
	id := st.Name
	if kind.vmid != 0 {
		id = fmt.Sprintf("%d@%s", kind.vmid, st.Name)
	}
	return s.startTask(r, r.node(), "imgdel", id, func(t *task) error {
		s.lock()
		defer s.unlock()
		if err := s.pause(t, s.timings.Delete); err != nil {
			return err
		}
		if _, err := s.activeStorage(t.node, st.Name); err != nil {
			return err
		}
		v := st.find(t.node, name)
		switch {
		case v == nil:
			content, _, _ := strings.Cut(name, "/")
			t.note("disk image '%s' does not exist", st.path(&volume{name: name, content: content}))
		case st.inUse(v):
			return die("base volume '%s' is still in use by linked cloned", st.volid(v))
		default:
			s.remove(st, v)
		}
		t.note("Removed volume '%s:%s'", st.Name, name)
		return nil
	}), nil
}
