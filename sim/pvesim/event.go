package pvesim

// EventKind says what changed.
type EventKind string

// The kinds of events.
const (
	VMCreated      EventKind = "vm.created"
	VMConfigured   EventKind = "vm.configured"
	VMStarting     EventKind = "vm.starting"
	VMStarted      EventKind = "vm.started"
	VMStopped      EventKind = "vm.stopped"
	VMDestroyed    EventKind = "vm.destroyed"
	MappingChanged EventKind = "mapping.changed"
	VolumeCreated  EventKind = "volume.created"
	VolumeRemoved  EventKind = "volume.removed"
	TaskStarted    EventKind = "task.started"
	TaskEnded      EventKind = "task.ended"
	DeviceBound    EventKind = "device.bound"
	HostChanged    EventKind = "host.changed"
	GuestChanged   EventKind = "guest.changed"
)

// Event is one change of the state.
type Event struct {
	// Seq numbers the changes in the order in which they happened, from 1.
	Seq  int
	Kind EventKind
	Host string
	VMID int    // 0 when no VM is concerned
	ID   string // of the mapping, volume, task or device
	// State is the whole state right after the change.
	State func() State
}

// changed notes a change; the lock is held. The snapshot is taken now, so that
// a hook sees each state, also when others follow at once.
func (s *Sim) changed(kind EventKind, host string, vmid int, id string) {
	if len(s.hooks) == 0 {
		return
	}
	s.seq++
	state := s.snapshot()
	s.pending = append(s.pending, Event{
		Seq: s.seq, Kind: kind, Host: host, VMID: vmid, ID: id,
		State: func() State { return state },
	})
}
