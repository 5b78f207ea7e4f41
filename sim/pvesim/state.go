package pvesim

import (
	"maps"
	"slices"
	"time"
)

// State is a copy of the whole state, for assertions. The simulator does not change it
// later. Maps and lists may be shared with earlier and later states, so copy them before
// changing them.
type State struct {
	Hosts    map[string]HostState
	VMs      map[int]VMState
	Mappings map[string]MappingState
	Volumes  map[string]VolumeState // by host ("*" if shared), slash, volume id
	Tasks    []TaskState            // oldest first
	Damage   []Damage
}

// HostState is the state of a host.
type HostState struct {
	Online     bool
	Booted     time.Time
	MemoryUsed int64             // bytes
	Drivers    map[string]string // BDF → kernel driver, "" for none
	// Reserved are the devices of running and starting VMs: BDF → VMID.
	Reserved map[string]int
}

// VMState is the state of a VM.
type VMState struct {
	ID   int
	Host string
	Name string
	Pool string
	// Config is the current configuration, Pending the changes pending for a restart,
	// Deleting the options that a restart removes.
	Config   map[string]string
	Pending  map[string]string
	Deleting []string
	Digest   string
	Lock     string
	Template bool
	// HA reports whether it is a resource of the HA manager.
	HA       bool
	Running  bool
	Starting bool
	// Devices are the BDFs of the running VM.
	Devices []string
	// Files are the files that clients wrote with the guest agent.
	Files map[string]string
	// Snapshots are the names of the snapshots, oldest first.
	Snapshots []string
	// Busy reports whether a task or change holds the VM's lock file.
	Busy bool
}

// MappingState is a PCI resource mapping.
type MappingState struct {
	ID, Description string
	Map             []string
}

// VolumeState is a volume on a storage.
type VolumeState struct {
	ID, Host, Content, Format string
	Size                      int64
	VMID                      int
	Parent                    string
}

// TaskState is a task and its log.
type TaskState struct {
	UPID, Host, Type, ID, User string
	// Exit is empty while the task runs.
	Exit       string
	Start, End time.Time
	Log        []string
}

// State returns a copy of the current state.
func (s *Sim) State() State {
	s.lock()
	defer s.unlock()
	return s.snapshot()
}

// snapshot copies the parts that changed since the last one; unchanged parts are shared
// with it.
func (s *Sim) snapshot() State {
	out := State{Hosts: make(map[string]HostState, len(s.hosts)), VMs: make(map[int]VMState, len(s.vms)),
		Mappings: make(map[string]MappingState, len(s.mappings)), Volumes: map[string]VolumeState{}, Damage: slices.Clone(s.damage)}
	memory := s.memoryByHost()
	for name, h := range s.hosts {
		h.shown.drivers = same(h.shown.drivers, h.drivers)
		h.shown.reserved = same(h.shown.reserved, h.reserved)
		out.Hosts[name] = HostState{Online: !h.Offline, Booted: h.booted, MemoryUsed: memory[name], Drivers: h.shown.drivers, Reserved: h.shown.reserved}
	}
	for id, v := range s.vms {
		out.VMs[id] = s.vmState(v)
	}
	for id, m := range s.mappings {
		out.Mappings[id] = MappingState{ID: id, Description: m.description, Map: slices.Clone(m.entries)}
	}
	for _, st := range s.storages {
		for name, v := range st.byName {
			host := name.host
			if host == "" {
				host = "*"
			}
			id := st.Name + ":" + name.name
			out.Volumes[host+"/"+id] = VolumeState{ID: id, Host: v.node, Content: v.content, Format: v.format, Size: v.size,
				VMID: v.vmid, Parent: v.parent}
		}
	}
	out.Tasks = make([]TaskState, 0, len(s.tasks))
	for _, t := range s.tasks {
		out.Tasks = append(out.Tasks, TaskState{UPID: t.upid, Host: t.node, Type: t.kind, ID: t.id, User: t.user,
			Exit: t.exit, Start: t.start, End: t.end, Log: slices.Clip(t.log)})
	}
	return out
}

// same returns the earlier copy if it is still equal.
func same[M ~map[K]V, K, V comparable](before, now M) M {
	if before != nil && maps.Equal(before, now) {
		return before
	}
	return maps.Clone(now)
}

// shownVM is the copy of a VM for the last snapshot: the content of its file, and the
// digest.
type shownVM struct {
	conf, pending map[string]string
	deletes       map[string]bool
	deleting      []string
	snapshots     []*snapshot
	digest        string
	files         map[string]string
}

// look updates the copies.
func (v *vm) look() *shownVM {
	was := &v.shown
	if was.digest != "" && maps.Equal(was.conf, v.conf) && maps.Equal(was.pending, v.pending) && maps.Equal(was.deletes, v.deletes) &&
		slices.Equal(was.snapshots, v.snapshots) {
		return was
	}
	was.conf, was.pending, was.deletes = same(was.conf, v.conf), same(was.pending, v.pending), same(was.deletes, v.deletes)
	was.deleting = slices.Sorted(maps.Keys(v.deletes))
	was.snapshots = slices.Clone(v.snapshots)
	was.digest = v.hash()
	return was
}

func (s *Sim) vmState(v *vm) VMState {
	seen := v.look()
	out := VMState{ID: v.id, Host: v.node, Name: v.name(), Config: seen.conf, Pending: seen.pending, Deleting: seen.deleting,
		Digest: seen.digest, Lock: v.conf["lock"], Template: v.template(), HA: v.ha != nil,
		Running: v.run != nil && !v.starting, Starting: v.starting, Busy: s.locks[vmLock(v.node, v.id)] != nil, Snapshots: v.snapshotNames()}
	if p := s.poolOf(v.id); p != nil {
		out.Pool = p.id
	}
	if v.run != nil {
		out.Devices = slices.Clone(v.run.devices)
	}
	seen.files = same(seen.files, v.files)
	out.Files = seen.files
	return out
}
