package pvesim

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

func clusterCalls() []call {
	return []call{
		{method: "GET", path: "/cluster", serve: index("name", "acme", "backup", "backup-info", "bulk-action", "ceph", "config",
			"firewall", "ha", "jobs", "log", "mapping", "metrics", "nextid", "notifications", "options", "qemu", "replication",
			"resources", "sdn", "status", "tasks")},
		{method: "GET", path: "/cluster/resources", params: specs{"type": oneOf("vm", "storage", "node", "sdn")}, serve: (*Sim).resources},
		{method: "GET", path: "/cluster/status", may: perm("/", "Sys.Audit"), serve: (*Sim).clusterStatus, protected: true},
		{method: "GET", path: "/cluster/nextid", params: specs{"vmid": vmidSpec()}, serve: (*Sim).nextID},
		{method: "GET", path: "/cluster/options", serve: (*Sim).clusterOptions},
	}
}

func (s *Sim) versionInfo(*request) (any, error) {
	major, rest, _ := strings.Cut(s.version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return map[string]any{"version": s.version, "release": major + "." + minor, "repoid": s.repoID}, nil
}

func (s *Sim) nextIDRange() (lower, upper int) {
	lower, upper = 100, 1000000
	if s.dc.NextIDLower > 0 {
		lower = s.dc.NextIDLower
	}
	if s.dc.NextIDUpper > 0 {
		upper = s.dc.NextIDUpper
	}
	return lower, upper
}

// nextID returns an id that is free now; it does not reserve it.
func (s *Sim) nextID(r *request) (any, error) {
	if r.args.has("vmid") {
		id := r.vmid()
		if s.vms[id] != nil {
			return nil, badParam("vmid", "VM %d already exists", id)
		}
		return fmt.Sprint(id), nil
	}
	lower, upper := s.nextIDRange()
	for id := lower; id < upper; id++ {
		if s.vms[id] == nil {
			return fmt.Sprint(id), nil
		}
	}
	return nil, die("unable to get any free VMID in range [%d, %d]", lower, upper-1)
}

// clusterOptions returns the options to callers with the privilege, and the allowed tags
// to all callers.
func (s *Sim) clusterOptions(r *request) (any, error) {
	out := map[string]any{"allowed-tags": s.allowedTags(r.caller)}
	if !s.may(r.caller, "/", "Sys.Audit") {
		return out, nil
	}
	out["mac_prefix"], out["keyboard"] = "BC:24:11", "en-us"
	if s.dc.NextIDLower > 0 || s.dc.NextIDUpper > 0 {
		lower, upper := s.nextIDRange()
		out["next-id"] = map[string]any{"lower": lower, "upper": upper}
	}
	if len(s.dc.RegisteredTags) > 0 {
		out["registered-tags"] = s.dc.RegisteredTags
	}
	if s.dc.UserTags != "" {
		access := map[string]any{"user-allow": s.dc.UserTags}
		if len(s.dc.UserTagsAllowed) > 0 {
			access["user-allow-list"] = s.dc.UserTagsAllowed
		}
		out["user-tag-access"] = access
	}
	return out, nil
}

// allowedTags returns the tags that a caller may use: those of guests that it sees, or
// those of the list, and the registered ones if it may set them.
func (s *Sim) allowedTags(caller identity) []string {
	tags := []string{}
	switch s.dc.UserTags {
	case "none":
	case "list":
		tags = append(tags, s.dc.UserTagsAllowed...)
	default:
		tags = append(tags, s.dc.UserTagsAllowed...)
		for id, v := range s.vms {
			if s.may(caller, vmPath(id), "VM.Audit") {
				tags = append(tags, splitList(normaliseTags(v.conf["tags"]))...)
			}
		}
	}
	if s.may(caller, "/", "Sys.Modify") {
		tags = append(tags, s.dc.RegisteredTags...)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func (s *Sim) clusterStatus(*request) (any, error) {
	out := []any{}
	for i, name := range s.hostList {
		h := s.hosts[name]
		up, local := 1, 0
		if !s.heard(name) {
			up = 0
		}
		if name == s.localHost() {
			local = 1
		}
		out = append(out, map[string]any{
			"type": "node", "id": "node/" + name, "name": name, "ip": h.IP, "online": up, "local": local, "nodeid": i + 1, "level": "",
		})
	}
	if s.clusters != "" {
		out = append(out, map[string]any{
			"type": "cluster", "id": "cluster", "name": s.clusters, "version": len(s.hostList), "nodes": len(s.hostList), "quorate": flagOf(s.quorate()),
		})
	}
	return out, nil
}

// localHost is the answering host.
func (s *Sim) localHost() string {
	for _, name := range s.hostList {
		if !s.hosts[name].Offline {
			return name
		}
	}
	return s.hostList[0]
}

// resources lists the objects that the caller may see. hostpci is not included.
func (s *Sim) resources(r *request) (any, error) {
	kind := r.args.get("type")
	out := []any{}
	if kind == "" {
		for _, p := range s.pools {
			if s.may(r.caller, "/pool/"+p.id, "Pool.Audit") {
				out = append(out, map[string]any{"id": "/pool/" + p.id, "pool": p.id, "type": "pool"})
			}
		}
	}
	if kind == "" || kind == "node" {
		memory := s.memoryByHost()
		for _, name := range s.hostList {
			out = append(out, s.nodeEntry(name, memory[name], s.may(r.caller, "/nodes/"+name, "Sys.Audit")))
		}
	}
	if kind == "" || kind == "vm" {
		for _, id := range s.vmIDs() {
			if s.may(r.caller, vmPath(id), "VM.Audit") {
				out = append(out, s.vmResource(s.vms[id]))
			}
		}
	}
	if kind == "" || kind == "storage" {
		out = append(out, s.storageResources(r)...)
	}
	return append(out, s.zoneResources(r, kind)...), nil
}

func (s *Sim) zoneResources(r *request, kind string) []any {
	var out []any
	for _, name := range s.hostList {
		if s.hosts[name].Offline || !s.may(r.caller, "/sdn/zones/localnetwork", "SDN.Audit", "SDN.Use") || !s.may(r.caller, "/sdn", "SDN.Audit") {
			continue
		}
		switch {
		case s.major >= 9 && kind == "":
			out = append(out, map[string]any{"id": "network/" + name + "/zone/localnetwork", "network": "localnetwork",
				"network-type": "zone", "node": name, "status": "ok", "type": "network"})
		case s.major < 9 && (kind == "" || kind == "sdn"):
			out = append(out, map[string]any{"id": "sdn/" + name + "/localnetwork", "sdn": "localnetwork", "node": name,
				"status": "ok", "type": "sdn"})
		}
	}
	return out
}

// known reports whether the statistics of a host are up to date.
func (s *Sim) known(node string) bool { return !s.noStats && s.heard(node) }

func (s *Sim) nodeEntry(name string, memory int64, usage bool) map[string]any {
	h := s.hosts[name]
	out := map[string]any{"id": "node/" + name, "node": name, "type": "node", "status": "unknown"}
	if !s.heard(name) {
		out["status"] = "offline"
	}
	if !s.known(name) {
		return out
	}
	out["status"] = "online"
	if !usage {
		return out
	}
	maps := map[string]any{
		"cpu": 0.02, "maxcpu": h.CPUs, "mem": memory, "maxmem": h.memory(), "disk": 12 * gib, "maxdisk": 94 * gib,
		"uptime": int64(time.Since(h.booted).Seconds()), "level": "", "cgroup-mode": 2,
	}
	return merge(out, maps)
}

// vmResource is a VM's entry; without a broadcast of its host it has no name.
func (s *Sim) vmResource(v *vm) map[string]any {
	out := map[string]any{"id": fmt.Sprintf("qemu/%d", v.id), "node": v.node, "vmid": v.id, "type": "qemu", "status": "unknown"}
	if p := s.poolOf(v.id); p != nil {
		out["pool"] = p.id
	}
	for _, key := range []string{"tags", "lock"} {
		if value := v.conf[key]; value != "" {
			out[key] = value
		}
	}
	return merge(out, s.lastBroadcast(v))
}

func nodeCalls() []call {
	network := oneOf("bridge", "bond", "eth", "alias", "vlan", "fabric", "OVSBridge", "OVSBond", "OVSPort", "OVSIntPort",
		"vnet", "any_bridge", "any_local_bridge", "include_sdn")
	return []call{
		{method: "GET", path: "/nodes", serve: (*Sim).listNodes},
		{method: "GET", path: "/nodes/{node}", proxy: anyHost, serve: index("name", nodeIndex...)},
		{method: "GET", path: "/nodes/{node}/version", serve: (*Sim).versionInfo},
		{method: "GET", path: "/nodes/{node}/status", may: perm("/nodes/{node}", "Sys.Audit"), serve: (*Sim).nodeStatus},
		{method: "GET", path: "/nodes/{node}/network", params: specs{"type": network}, serve: (*Sim).listNetwork},
		{method: "GET", path: "/nodes/{node}/network/{iface}", may: perm("/nodes/{node}", "Sys.Audit"), serve: (*Sim).getNetwork},
	}
}

var nodeIndex = []string{"aplinfo", "apt", "capabilities", "ceph", "certificates", "config", "disks", "dns", "firewall", "hardware",
	"hosts", "journal", "lxc", "migrateall", "netstat", "network", "qemu", "query-oci-repo-tags", "query-url-metadata",
	"replication", "report", "rrd", "rrddata", "scan", "sdn", "services", "spiceshell", "startall", "status", "stopall",
	"storage", "subscription", "suspendall", "syslog", "tasks", "termproxy", "time", "version", "vncshell", "vzdump", "wakeonlan"}

func (s *Sim) listNodes(r *request) (any, error) {
	out := []any{}
	memory := s.memoryByHost()
	for _, name := range s.hostList {
		entry := s.nodeEntry(name, memory[name], s.may(r.caller, "/nodes/"+name, "Sys.Audit"))
		entry["ssl_fingerprint"] = fingerprint(name)
		delete(entry, "cgroup-mode")
		out = append(out, entry)
	}
	return out, nil
}

// fingerprint is computed from a host's name, because all hosts have the same server.
func fingerprint(host string) string {
	sum := sha256.Sum256([]byte(host))
	parts := make([]string, 0, len(sum))
	for _, b := range sum {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}

func vmPath(id int) string { return fmt.Sprintf("/vms/%d", id) }
