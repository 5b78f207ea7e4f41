package pvesim

import (
	"fmt"
	"time"
)

// The VMs in GET /cluster/resources. On a real cluster, the daemon pvestatd of each host
// broadcasts the state of its VMs every ten seconds. The list contains the last
// broadcasts: name, status, template and usage may be ten seconds old. The set of VMs,
// their tags, locks and pools are current, and so is the whole answer of
// GET /nodes/{node}/qemu.

// broadcastLife is the time after which a broadcast expires if none follows. The
// broadcast of a destroyed VM is kept too: a new VM with its number gets its old values.
const broadcastLife = Duration(5 * time.Minute)

// broadcast is the last state of a VM that its host broadcast.
type broadcast struct {
	at     time.Time
	fields map[string]any
}

// SetListLag delays the list of all VMs, GET /cluster/resources, as on a real cluster:
// each host broadcasts the state of its VMs now, and then at this interval (ten seconds
// on a real cluster). With 0, which is the default unless World.ListLag is set, the list
// is always up to date.
func (s *Sim) SetListLag(interval Duration) {
	s.lock()
	defer s.unlock()
	s.setListLag(interval)
}

func (s *Sim) setListLag(interval Duration) {
	s.listLag = interval
	s.lagChanges++
	if interval <= 0 {
		return
	}
	s.broadcastAll()
	turn := s.lagChanges
	s.spawn(func() {
		for s.sleep(s.ctx, interval) == nil {
			s.lock()
			over := s.lagChanges != turn
			if !over {
				s.broadcastAll()
			}
			s.unlock()
			if over {
				return
			}
		}
	})
}

// broadcastAll makes one round of broadcasts, of the hosts with contact.
func (s *Sim) broadcastAll() {
	now := time.Now()
	for id, v := range s.vms {
		if s.known(v.node) {
			s.broadcasts[id] = broadcast{now, s.broadcastFields(v)}
		}
	}
}

// lastBroadcast returns the fields of a VM in the list; none when its host has made no
// broadcast, or the broadcast has expired.
func (s *Sim) lastBroadcast(v *vm) map[string]any {
	b := s.broadcasts[v.id]
	switch {
	case s.noStats || s.hosts[v.node].Offline:
		return nil
	case s.listLag <= 0 && s.heard(v.node):
		return s.broadcastFields(v)
	case time.Since(b.at) > s.scaled(broadcastLife):
		return nil
	}
	return b.fields
}

// broadcastFields is the current state of a VM.
func (s *Sim) broadcastFields(v *vm) map[string]any {
	stats := s.vmStats(v)
	out := map[string]any{"name": stats["name"], "status": stats["status"], "template": flagValue(v.conf["template"]),
		"maxcpu": stats["cpus"], "diskread": 0, "diskwrite": 0}
	if v.name() == "" {
		out["name"] = fmt.Sprintf("VM %d", v.id)
	}
	for _, key := range []string{"cpu", "mem", "memhost", "maxmem", "disk", "maxdisk", "netin", "netout", "uptime"} {
		out[key] = stats[key]
	}
	return out
}
