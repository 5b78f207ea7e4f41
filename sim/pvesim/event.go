package pvesim

// EventKind is the kind of a change.
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
	// Seq is the number of the change, from 1.
	Seq  int
	Kind EventKind
	Host string
	VMID int    // 0 when the change does not concern a VM
	ID   string // of the mapping, volume, task or device
	// State returns the whole state directly after the change.
	State func() State
}

// changed records a change; the lock is held. The snapshot is taken now, so that hooks
// see each state, also when other changes follow at once.
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
