package pvesim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// storage is one storage with its volumes.
type storage struct {
	Storage
	down    map[string]bool // hosts on which it is not reachable
	hosts   []string        // hosts with this storage
	volumes []*volume
	byName  map[volumeName]*volume
}

// volumeName is the key of a volume: the host is empty if the storage is shared, the
// name is the part of the volume's id after the storage.
type volumeName struct{ host, name string }

func (st *storage) nameOf(v *volume) volumeName {
	return volumeName{v.node, strings.TrimPrefix(st.volid(v), st.Name+":")}
}

// add adds a volume.
func (st *storage) add(v *volume) {
	st.volumes = append(st.volumes, v)
	st.byName[st.nameOf(v)] = v
}

// rename changes the name or host of a volume.
func (st *storage) rename(v *volume, change func()) {
	delete(st.byName, st.nameOf(v))
	change()
	st.byName[st.nameOf(v)] = v
}

// volume is a disk, image or file on a storage.
type volume struct {
	name    string // name on the storage, without the base of a linked clone
	node    string // "" when the storage is shared
	content string
	format  string
	size    int64
	vmid    int
	// parent is the base of a linked clone, as in its name.
	parent string
	ctime  time.Time
	data   []byte // of an uploaded file
	empty  bool   // an uploaded file without content
}

func newStorage(st Storage, hosts []string, now time.Time) *storage {
	n := &storage{Storage: st, hosts: st.Nodes, byName: map[volumeName]*volume{}, down: map[string]bool{}}
	for _, host := range st.Offline {
		n.down[host] = true
	}
	if len(n.hosts) == 0 {
		n.hosts = hosts
	}
	if n.Path == "" && st.Type == "dir" {
		n.Path = "/srv/" + st.Name
	}
	if st.Type == "nfs" {
		n.Path = "/mnt/pve/" + st.Name
		n.Shared = true
	}
	for _, v := range st.Volumes {
		nodes := []string{v.Host}
		switch {
		case n.Shared:
			nodes = []string{""}
		case v.Host == "":
			nodes = n.hosts
		}
		content, _, _ := strings.Cut(v.Name, "/")
		for _, node := range nodes {
			n.add(&volume{name: v.Name, node: node, content: content, format: fileFormat(content), size: v.Size, ctime: now})
		}
	}
	return n
}

func fileFormat(content string) string {
	switch content {
	case "iso":
		return "iso"
	case "snippets":
		return "snippet"
	case "vztmpl":
		return "tgz"
	}
	return "raw"
}

// files reports whether the storage keeps disks as files.
func (st *storage) files() bool { return st.Type != "lvmthin" }

func (st *storage) holds(content string) bool { return slices.Contains(st.Content, content) }

// volid is the id of a volume, including the base of a linked clone.
func (st *storage) volid(v *volume) string {
	if v.parent != "" && st.files() {
		return st.Name + ":" + v.parent + "/" + v.name
	}
	return st.Name + ":" + v.name
}

// find returns a volume by the part of its id after the storage.
func (st *storage) find(node, name string) *volume {
	if v := st.byName[volumeName{"", name}]; v != nil {
		return v
	}
	return st.byName[volumeName{node, name}]
}

// path is the path of the volume's file, for log lines.
func (st *storage) path(v *volume) string {
	if !st.files() {
		return "/dev/pve/" + v.name
	}
	if v.content == "iso" || v.content == "vztmpl" {
		dir := map[string]string{"iso": "iso", "vztmpl": "cache"}[v.content]
		return st.Path + "/template/" + dir + strings.TrimPrefix(v.name, v.content)
	}
	if v.content == "snippets" {
		return st.Path + "/" + v.name
	}
	return st.Path + "/images/" + v.name
}

// storageOn returns an enabled storage of a host.
func (s *Sim) storageOn(node, name string) (*storage, error) {
	st := s.storages[name]
	switch {
	case st == nil:
		return nil, die("storage '%s' does not exist", name)
	case st.Disabled:
		return nil, die("storage '%s' is disabled", name)
	case !slices.Contains(st.hosts, node):
		return nil, die("storage '%s' is not available on node '%s'", name, node)
	}
	return st, nil
}

// activeStorage returns a storage of a host that is enabled and reachable.
func (s *Sim) activeStorage(node, name string) (*storage, error) {
	st, err := s.storageOn(node, name)
	switch {
	case err != nil || !st.down[node]:
		return st, err
	case st.Type == "dir":
		return nil, die("unable to activate storage '%s' - directory '%s' does not exist or is unreachable", name, st.Path)
	}
	return nil, die("storage '%s' is not online", name)
}

// freeDisk is the first disk number that a VM does not use on a storage.
func (st *storage) freeDisk(vmid int) int {
	for n := 0; ; n++ {
		prefix := fmt.Sprintf("-%d-disk-%d", vmid, n)
		if !slices.ContainsFunc(st.volumes, func(v *volume) bool {
			base := v.name[strings.LastIndex(v.name, "/")+1:]
			base, _, _ = strings.Cut(base, ".")
			return v.vmid == vmid && strings.HasSuffix(base, prefix)
		}) {
			return n
		}
	}
}

// allocate creates a disk of a VM. The simulator's lock is held, but not while it waits
// for the storage's lock or works under it. An empty format means the storage's default.
func (s *Sim) allocate(ctx context.Context, st *storage, node string, vmid int, name, format string, size int64) (*volume, error) {
	lock := st.lockOf(node)
	if err := s.acquire(ctx, lock, s.timings.StorageLock, false); err != nil {
		return nil, err
	}
	defer s.release(lock)
	if st.Allocate > 0 {
		s.unlock()
		err := s.sleep(ctx, st.Allocate)
		s.lock()
		if err != nil {
			return nil, err
		}
	}
	if st.full(node, thin(size)) && !st.files() {
		return nil, die("lvcreate 'pve/%s' error:   Cannot create new thin volume, free space in thin pool pve/data reached threshold.",
			cmp.Or(name, fmt.Sprintf("vm-%d-disk-%d", vmid, st.freeDisk(vmid))))
	}
	if name == "" {
		name = fmt.Sprintf("vm-%d-disk-%d", vmid, st.freeDisk(vmid))
	}
	if format == "" || !st.files() {
		format = "raw"
	}
	if st.files() && !slices.Contains([]string{"raw", "qcow2", "vmdk"}, format) {
		return nil, die("unable to parse volume filename '%s.%s'", name, format)
	}
	if st.files() {
		name = fmt.Sprintf("%d/%s.%s", vmid, name, format)
	}
	if st.Shared {
		node = ""
	}
	v := &volume{name: name, node: node, content: "images", format: format, size: size, vmid: vmid, ctime: time.Now()}
	if st.find(node, name) != nil {
		return nil, die("disk image '%s' already exists", st.path(v))
	}
	st.add(v)
	s.changed(VolumeCreated, node, vmid, st.volid(v))
	return v, nil
}

// thin is the part of a disk that counts as written.
func thin(size int64) int64 { return size / 10 }

// full reports whether a storage with a given capacity has no space for more bytes.
func (st *storage) full(node string, more int64) bool {
	return st.CapacityGiB > 0 && float64(st.used(node)+more) > st.CapacityGiB*float64(gib)
}

// remove removes a volume; the lock is held.
func (s *Sim) remove(st *storage, v *volume) {
	st.volumes = slices.DeleteFunc(st.volumes, func(other *volume) bool { return other == v })
	if name := st.nameOf(v); st.byName[name] == v {
		delete(st.byName, name)
	}
	s.changed(VolumeRemoved, v.node, v.vmid, st.volid(v))
}

// inUse reports whether linked clones need a base image. Clones on LVM-thin do not need
// it.
func (st *storage) inUse(v *volume) bool {
	return st.files() && slices.ContainsFunc(st.volumes, func(other *volume) bool { return other.parent == v.name })
}

// formatLine is the line in the task log for a new disk.
func (st *storage) formatLine(v *volume, base *volume) string {
	if !st.files() {
		return fmt.Sprintf("  Logical volume \"%s\" created.", v.name)
	}
	if v.format == "raw" {
		return fmt.Sprintf("Formatting '%s', fmt=raw size=%d preallocation=off", st.path(v), v.size)
	}
	if v.format == "vmdk" {
		return fmt.Sprintf("Formatting '%s', fmt=vmdk size=%d compat6=off hwversion=undefined", st.path(v), v.size)
	}
	clusters, backing := "cluster_size=65536 extended_l2=off preallocation=metadata", ""
	if base != nil {
		clusters = "cluster_size=131072 extended_l2=on preallocation=off"
		if base.format == "qcow2" {
			clusters = "cluster_size=131072 extended_l2=on preallocation=metadata"
		}
		backing = fmt.Sprintf(" backing_file=../%s backing_fmt=%s", base.name, base.format)
	}
	return fmt.Sprintf("Formatting '%s', fmt=%s %s compression_type=zlib size=%d%s lazy_refcounts=off refcount_bits=16",
		st.path(v), v.format, clusters, v.size, backing)
}

// volumeOf returns the volume of a drive on a host.
func (s *Sim) volumeOf(node string, d drive) (*storage, *volume) {
	name, rest, ok := d.volume()
	st := s.storages[name]
	if !ok || st == nil {
		return nil, nil
	}
	return st, st.find(node, rest)
}

// adoptVolume creates the volume for a drive of a VM in the world.
func (s *Sim) adoptVolume(v *vm, d drive) {
	name, rest, ok := d.volume()
	st := s.storages[name]
	if !ok || st == nil || st.find(v.node, rest) != nil || strings.HasPrefix(rest, "iso/") {
		return
	}
	node := v.node
	if st.Shared {
		node = ""
	}
	format := "raw"
	if dot := strings.LastIndex(rest, "."); dot >= 0 {
		format = rest[dot+1:]
	}
	vol := &volume{name: rest, node: node, content: "images", format: format, size: parseSize(d.props["size"]), vmid: v.id, ctime: s.started}
	if d.isCloudInit() && vol.size == 0 {
		vol.size = 4 * mib
	}
	st.add(vol)
}
