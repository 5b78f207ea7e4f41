package pvesim

import (
	"fmt"
	"time"
)

// What GET /cluster/resources says of VMs. On a real cluster the daemon pvestatd
// of each host broadcasts every ten seconds how its VMs are, and the list is
// made of the last broadcasts: name, status, template and usage may be ten
// seconds old. Which VMs there are, their tags, locks and pools are as of now,
// and so is all that GET /nodes/{node}/qemu says.

// broadcastLife is how long a broadcast counts when none follows, also that of a
// VM that was destroyed: its number, used again, is listed as it was.
const broadcastLife = Duration(5 * time.Minute)

// broadcast is what a host said of a VM.
type broadcast struct {
	at     time.Time
	fields map[string]any
}

// SetListLag makes the list of all VMs, GET /cluster/resources, as late as it is
// on a real cluster: each host says how its VMs are now, and then each time that
// the interval has passed, ten seconds on a real cluster. With 0 the list is
// always up to date, as it is unless World.ListLag says otherwise.
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

// broadcastAll is one round of broadcasts, of the hosts that are heard.
func (s *Sim) broadcastAll() {
	now := time.Now()
	for id, v := range s.vms {
		if s.known(v.node) {
			s.broadcasts[id] = broadcast{now, s.broadcastFields(v)}
		}
	}
}

// lastBroadcast is what the list says of a VM; nothing when its host has not yet
// said anything, or not for long.
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

// broadcastFields is how a VM is now.
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
