package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func qemuCalls() []call {
	vmBase := "/nodes/{node}/qemu/{vmid}"
	audit := perm("/vms/{vmid}", "VM.Audit")
	anyConfig := permAny("/vms/{vmid}", "VM.Config.Disk", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Memory",
		"VM.Config.Network", "VM.Config.HWType", "VM.Config.Options", "VM.Config.Cloudinit")
	options := vmOptionSpecs()
	change := options.and(specs{"digest": text().upTo(40), "delete": formatted(configListFormat).asList(),
		"revert": formatted(configListFormat).asList(), "skiplock": boolean(), "force": boolean().with("delete")})
	later := change.and(specs{"background_delay": integer().atLeast(1).atMost(30), "import-working-storage": storageSpec()})
	create := options.and(specs{"vmid": vmidSpec().req(), "pool": formatted(poolFormat), "storage": storageSpec(),
		"start": boolean(), "unique": boolean().with("archive"), "force": boolean().with("archive"), "archive": text().upTo(255), "bwlimit": integer().atLeast(0),
		"live-restore": boolean(), "ha-managed": boolean(), "import-working-storage": storageSpec()})
	clone := specs{"newid": vmidSpec().req(), "name": formatted(dnsNameFormat), "description": text(), "pool": formatted(poolFormat),
		"snapname": configIDSpec().upTo(40), "storage": storageSpec(), "format": oneOf("raw", "qcow2", "vmdk"), "full": boolean(),
		"target": nodeSpec(), "bwlimit": integer().atLeast(0)} // bwlimit in KiB/s
	return []call{
		{method: "GET", path: "/nodes/{node}/qemu", params: specs{"full": boolean()}, serve: (*Sim).listVMs, protected: true},
		{method: "POST", path: "/nodes/{node}/qemu", params: create, serve: (*Sim).createVM, protected: true},
		{method: "GET", path: vmBase, serve: index("subdir", "agent", "cloudinit", "config", "firewall", "migrate", "monitor", "move",
			"mtunnel", "pending", "remote_migrate", "resize", "rrd", "rrddata", "sendkey", "snapshot", "spiceproxy", "status",
			"termproxy", "unlink", "vncproxy")},
		{method: "DELETE", path: vmBase, may: perm("/vms/{vmid}", "VM.Allocate"), serve: (*Sim).destroyVM, protected: true,
			params: specs{"purge": boolean(), "skiplock": boolean(), "destroy-unreferenced-disks": boolean()}},
		{method: "GET", path: vmBase + "/config", may: audit, serve: (*Sim).getConfig,
			params: specs{"current": boolean(), "snapshot": configIDSpec().upTo(40)}},
		{method: "PUT", path: vmBase + "/config", may: anyConfig, params: change, serve: (*Sim).putConfig, waits: true, protected: true},
		{method: "POST", path: vmBase + "/config", may: anyConfig, params: later, serve: (*Sim).postConfig, waits: true, protected: true},
		{method: "GET", path: vmBase + "/pending", may: audit, serve: (*Sim).listPending},
		{method: "POST", path: vmBase + "/clone", params: clone, serve: (*Sim).cloneVM, waits: true, protected: true,
			may: andPerm(perm("/vms/{vmid}", "VM.Clone"), mayAllocateClone)},
		{method: "PUT", path: vmBase + "/resize", may: perm("/vms/{vmid}", "VM.Config.Disk"), serve: (*Sim).resizeDisk, protected: true,
			params: specs{"disk": oneOf(diskKeys...).req(), "size": matching(`\+?\d+(\.\d+)?[KMGT]?`).req(), "digest": text().upTo(40), "skiplock": boolean()}},
		{method: "POST", path: vmBase + "/template", may: perm("/vms/{vmid}", "VM.Allocate"), serve: (*Sim).makeTemplate, protected: true,
			params: specs{"disk": oneOf(diskKeys...)}},
	}
}

func (s *Sim) listVMs(r *request) (any, error) {
	out := []any{}
	for _, id := range s.vmIDs() {
		v := s.vms[id]
		if v.node != r.node() || !s.may(r.caller, vmPath(id), "VM.Audit") {
			continue
		}
		entry := s.vmStats(v)
		if r.args.flag("full") {
			entry = merge(entry, v.fullStats(entry["status"]))
		}
		out = append(out, entry)
	}
	return out, nil
}

// vmStats is a VM's entry in the list of its host.
func (s *Sim) vmStats(v *vm) map[string]any {
	h := s.hosts[v.node]
	out := map[string]any{
		"vmid": v.id, "status": "stopped", "cpus": min(vcpus(v.conf), h.CPUs), "maxmem": memoryOf(v.conf), "maxdisk": bootDiskSize(v.conf),
		"cpu": 0, "mem": 0, "memhost": 0, "disk": 0, "netin": 0, "netout": 0, "uptime": 0,
	}
	for _, key := range []string{"name", "tags", "lock"} {
		if value := v.conf[key]; value != "" {
			out[key] = value
		}
	}
	if v.template() {
		out["template"] = 1
	}
	if v.conf["serial0"] == "socket" {
		out["serial"] = 1
	}
	if v.run != nil && !v.starting {
		out["status"], out["pid"] = "running", v.run.pid
		out["uptime"] = int64(time.Since(v.run.since).Seconds())
		out["mem"], out["memhost"], out["cpu"] = v.run.pinned/2, v.run.pinned, 0.01
		for _, kind := range []string{"cpu", "io", "memory"} {
			out["pressure"+kind+"some"], out["pressure"+kind+"full"] = 0, 0
		}
	}
	return out
}

// fullStats are the values from QEMU and the host's network.
func (v *vm) fullStats(status any) map[string]any {
	out := map[string]any{"qmpstatus": status}
	if v.run == nil || v.starting {
		return out
	}
	if v.run.paused {
		out["qmpstatus"] = "paused"
	}
	nics := map[string]any{}
	for i := range indexed["net"] + 1 {
		if v.run.conf[fmt.Sprint("net", i)] != "" {
			nics[fmt.Sprintf("tap%di%d", v.id, i)] = map[string]any{"netin": 0, "netout": 0}
		}
	}
	if len(nics) > 0 {
		out["nics"] = nics
	}
	return out
}

func vcpus(conf map[string]string) int {
	number := func(key string) int {
		n, err := strconv.Atoi(conf[key])
		if err != nil {
			return 1
		}
		return n
	}
	total := number("sockets") * number("cores")
	if conf["vcpus"] != "" {
		total = min(total, number("vcpus"))
	}
	return total
}

// bootDiskSize is the size of the first disk in the boot order.
func bootDiskSize(conf map[string]string) int64 {
	order, _ := strings.CutPrefix(conf["boot"], "order=")
	for key := range strings.SplitSeq(order, ";") {
		if isDrive(key) && conf[key] != "" {
			if d := parseDrive(conf[key]); !d.isCDROM() {
				return parseSize(d.props["size"])
			}
		}
	}
	return 0
}

// defaultBoot is Proxmox's default boot order: the first disk, the first CD drive, the
// first network card. It is a blank for a VM with none of these.
func defaultBoot(conf map[string]string) string {
	var disk, cdrom, net string
	for _, key := range diskKeys {
		value, ok := conf[key]
		if !ok || key == "efidisk0" || key == "tpmstate0" {
			continue
		}
		if d := parseDrive(value); d.isCDROM() || d.isCloudInit() {
			if cdrom == "" {
				cdrom = key
			}
		} else if disk == "" {
			disk = key
		}
	}
	for i := indexed["net"]; i >= 0; i-- {
		if key := fmt.Sprint("net", i); conf[key] != "" {
			net = key
		}
	}
	order := slices.DeleteFunc([]string{disk, cdrom, net}, func(key string) bool { return key == "" })
	if len(order) == 0 {
		return ""
	}
	return "order=" + strings.Join(order, ";")
}

// typed is an option's value in JSON: integers and booleans are numbers, others are
// strings. An empty value is returned as a blank.
func typed(key, value string) any {
	if key == "cipassword" {
		return "**********"
	}
	if s, ok := vmOption(key); ok && s.numberInJSON() {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return n
		}
	}
	if value == "" {
		return " "
	}
	return value
}

func (s *Sim) getConfig(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if name := r.args.get("snapshot"); name != "" {
		snap := v.snapshot(name)
		if snap == nil {
			return nil, die("snapshot '%s' does not exist", name)
		}
		out := snap.fields()
		out["digest"] = v.digest()
		return out, nil
	}
	conf := v.merged()
	if r.args.flag("current") {
		conf = v.conf
	}
	out := map[string]any{"digest": v.digest()}
	for key, value := range conf {
		out[key] = typed(key, value)
	}
	return out, nil
}

// listPending lists each option with its value and its pending change.
func (s *Sim) listPending(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, key := range slices.Sorted(maps.Keys(merge(v.conf, v.pending))) {
		entry := map[string]any{"key": key}
		if value, ok := v.conf[key]; ok {
			entry["value"] = typed(key, value)
		}
		if value, ok := v.pending[key]; ok {
			entry["pending"] = typed(key, value)
		}
		if v.deletes[key] {
			entry["delete"] = 1
			if v.forced[key] {
				entry["delete"] = 2
			}
		}
		out = append(out, entry)
	}
	return append(out, map[string]any{"key": "digest", "value": v.digest()}), nil
}
