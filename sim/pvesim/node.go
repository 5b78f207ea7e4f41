package pvesim

import (
	"fmt"
	"net/netip"
	"time"
)

// hostOverhead is the memory that a host's own software uses.
const hostOverhead = 2 * gib

func (h *host) memory() int64 { return int64(h.MemoryGiB * float64(gib)) }

// memoryUsed is the memory of a host's running VMs and its own software. VMs without
// passthrough count in full too: their guests have used all of their memory.
func (s *Sim) memoryUsed(h *host) int64 { return s.memoryByHost()[h.Name] }

// memoryByHost is memoryUsed for all hosts.
func (s *Sim) memoryByHost() map[string]int64 {
	used := make(map[string]int64, len(s.hosts))
	for name, h := range s.hosts {
		used[name] = min(hostOverhead, h.memory()/8)
	}
	for _, v := range s.vms {
		if v.run != nil {
			used[v.node] += v.run.pinned
		}
	}
	return used
}

func (s *Sim) nodeStatus(r *request) (any, error) {
	h := s.hosts[r.node()]
	used := s.memoryUsed(h)
	total := h.memory()
	release, machine := "6.14.11-3-pve", "x86_64"
	build := "#1 SMP PREEMPT_DYNAMIC PMX 6.14.11-3"
	return map[string]any{
		"boot-info": map[string]any{"mode": "legacy-bios"},
		"cpu":       0.02,
		"cpuinfo": map[string]any{"cores": h.CPUs, "cpus": h.CPUs, "sockets": 1, "model": "simulated CPU", "mhz": "3000.000",
			"user_hz": 100, "hvm": "1", "flags": "fpu vme vmx svm", "family": "25", "vendor": "AuthenticAMD"},
		"current-kernel": map[string]any{"sysname": "Linux", "release": release, "version": build, "machine": machine},
		"kversion":       "Linux " + release + " " + build,
		"idle":           0, "wait": 0,
		"ksm":        map[string]any{"shared": 0},
		"loadavg":    []string{"0.10", "0.10", "0.10"},
		"memory":     map[string]any{"total": total, "used": used, "free": total - used, "available": total - used},
		"rootfs":     map[string]any{"total": 94 * gib, "used": 12 * gib, "free": 82 * gib, "avail": 77 * gib},
		"swap":       map[string]any{"total": 0, "used": 0, "free": 0},
		"pveversion": "pve-manager/" + s.version + "/" + s.repoID,
		"uptime":     int64(time.Since(h.booted).Seconds()),
	}, nil
}

// interfaces are a host's network devices, NICs first.
func (h *host) interfaces() []map[string]any {
	var out []map[string]any
	priority := 3
	for _, nic := range h.NICs {
		out = append(out, map[string]any{"iface": nic, "type": "eth", "active": 1, "method": "manual", "method6": "manual",
			"families": []string{"inet"}, "priority": priority})
		priority++
	}
	for _, b := range h.Bridges {
		e := map[string]any{"iface": b.Name, "type": "bridge", "autostart": 1, "bridge_fd": "0", "bridge_stp": "off",
			"bridge_ports": b.Ports, "families": []string{"inet"}, "method": "manual", "method6": "manual", "priority": priority}
		if prefix, err := netip.ParsePrefix(b.CIDR); err == nil {
			e["method"], e["cidr"], e["address"] = "static", b.CIDR, prefix.Addr().String()
			e["netmask"] = fmt.Sprint(prefix.Bits())
		}
		if b.Gateway != "" {
			e["gateway"] = b.Gateway
		}
		if b.VLANAware {
			e["bridge_vlan_aware"], e["bridge_vids"] = 1, "2-4094"
		}
		if !b.Down {
			e["active"] = 1
		}
		if b.Comment != "" {
			e["comments"] = b.Comment + "\n"
		}
		out = append(out, e)
		priority++
	}
	return out
}

// listNetwork lists bridges only to callers who may use them.
func (s *Sim) listNetwork(r *request) (any, error) {
	kind := r.args.get("type")
	out := []any{}
	for _, e := range s.hosts[r.node()].interfaces() {
		bridge := e["type"] == "bridge"
		wanted := kind == "" || kind == e["type"] || bridge && (kind == "any_bridge" || kind == "any_local_bridge" || kind == "include_sdn")
		if !wanted {
			continue
		}
		path := fmt.Sprintf("/sdn/zones/localnetwork/%s", e["iface"])
		if bridge && !s.may(r.caller, path, "SDN.Audit", "SDN.Use") {
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *Sim) getNetwork(r *request) (any, error) {
	for _, e := range s.hosts[r.node()].interfaces() {
		if e["iface"] == r.args.get("iface") {
			delete(e, "iface")
			return e, nil
		}
	}
	return nil, badParam("iface", "interface does not exist")
}
