package pvesim

import (
	"maps"
	"slices"
	"time"
)

// State is a plain copy of all there is, for assertions. Nothing in it is
// shared with the simulator.
type State struct {
	Hosts    map[string]HostState
	VMs      map[int]VMState
	Mappings map[string]MappingState
	Volumes  map[string]VolumeState // by host (or "*" when shared), a slash and volume id
	Tasks    []TaskState            // oldest first
	Damage   []Damage
}

// HostState is a host as it is now.
type HostState struct {
	Online     bool
	Booted     time.Time
	MemoryUsed int64             // bytes
	Drivers    map[string]string // BDF → kernel driver, "" for none
	// Reserved are the devices of VMs that run or start: BDF → VMID.
	Reserved map[string]int
}

// VMState is a VM as it is now.
type VMState struct {
	ID   int
	Host string
	Name string
	Pool string
	// Config is what runs or would run, Pending what waits for a restart,
	// Deleting the options that a restart removes.
	Config   map[string]string
	Pending  map[string]string
	Deleting []string
	Digest   string
	Lock     string
	Template bool
	Running  bool
	Starting bool
	// Devices are the BDFs that the running VM holds.
	Devices []string
	// Files are what clients wrote into the guest by its agent.
	Files map[string]string
	// Snapshots are named in the order of taking.
	Snapshots []string
	// Busy tells that a task or change holds the VM's lock file.
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

// State copies the state as it is now.
func (s *Sim) State() State {
	s.lock()
	defer s.unlock()
	return s.snapshot()
}

func (s *Sim) snapshot() State {
	out := State{Hosts: map[string]HostState{}, VMs: map[int]VMState{}, Mappings: map[string]MappingState{},
		Volumes: map[string]VolumeState{}, Damage: slices.Clone(s.damage)}
	for name, h := range s.hosts {
		out.Hosts[name] = HostState{Online: !h.Offline, Booted: h.booted, MemoryUsed: s.memoryUsed(h),
			Drivers: maps.Clone(h.drivers), Reserved: maps.Clone(h.reserved)}
	}
	for id, v := range s.vms {
		out.VMs[id] = s.vmState(v)
	}
	for id, m := range s.mappings {
		out.Mappings[id] = MappingState{ID: id, Description: m.description, Map: slices.Clone(m.entries)}
	}
	for _, st := range s.storages {
		for _, v := range st.volumes {
			host := v.node
			if host == "" {
				host = "*"
			}
			id := st.volid(v)
			out.Volumes[host+"/"+id] = VolumeState{ID: id, Host: v.node, Content: v.content, Format: v.format, Size: v.size,
				VMID: v.vmid, Parent: v.parent}
		}
	}
	for _, t := range s.tasks {
		out.Tasks = append(out.Tasks, TaskState{UPID: t.upid, Host: t.node, Type: t.kind, ID: t.id, User: t.who.String(),
			Exit: t.exit, Start: t.start, End: t.end, Log: slices.Clone(t.log)})
	}
	return out
}

func (s *Sim) vmState(v *vm) VMState {
	out := VMState{ID: v.id, Host: v.node, Name: v.name(), Config: maps.Clone(v.conf), Pending: maps.Clone(v.pending),
		Deleting: slices.Sorted(maps.Keys(v.deletes)), Digest: v.digest(), Lock: v.conf["lock"], Template: v.template(),
		Running: v.run != nil && !v.starting, Starting: v.starting, Busy: s.locks[vmLock(v.node, v.id)] != nil, Snapshots: v.snapshotNames()}
	if p := s.poolOf(v.id); p != nil {
		out.Pool = p.id
	}
	if v.run != nil {
		out.Devices = slices.Clone(v.run.devices)
		out.Files = maps.Clone(v.run.files)
	}
	return out
}
