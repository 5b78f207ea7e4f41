package check

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// vmConf is the configuration of a VM: /etc/pve/qemu-server/VMID.conf.
type vmConf struct {
	vmid   int
	file   text
	values map[string]string // current; without snapshots
	// waiting are the values that take effect at the next start ([PENDING]).
	waiting map[string]string
}

// parseVMConf reads lines "key: value". Sections begin with a name in brackets:
// [PENDING], and one for each snapshot.
func parseVMConf(body string) (values, waiting map[string]string) {
	values, waiting = map[string]string{}, map[string]string{}
	into := values
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			into = map[string]string{}
			if line == "[PENDING]" {
				into = waiting
			}
		default:
			if key, value, ok := strings.Cut(line, ":"); ok {
				into[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
		}
	}
	return values, waiting
}

// property returns the value of a key in "a,b=1,c=2". The default key may be written
// as the first value, without its name.
func property(text, key, byDefault string) string {
	for i, part := range strings.Split(text, ",") {
		name, value, named := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case named && name == key:
			return value
		case !named && i == 0 && key == byDefault:
			return name
		}
	}
	return ""
}

// hostPCI is a hostpciN of a VM.
type hostPCI struct {
	key   string // "hostpci0"
	value string
	slots []pci.Slot // where its functions are, when it names addresses
	name  string     // of the mapping, when it names one
}

// devices returns the hostpciN of the VM, including pending ones.
func (v vmConf) devices() []hostPCI {
	var found []hostPCI
	for _, values := range []map[string]string{v.values, v.waiting} {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			number, is := strings.CutPrefix(key, "hostpci")
			if _, err := strconv.ParseUint(number, 10, 8); !is || err != nil {
				continue
			}
			d := hostPCI{key: key, value: values[key], name: property(values[key], "mapping", "")}
			for _, address := range strings.Split(property(values[key], "host", "host"), ";") {
				if slot, ok := slotOf(address); ok {
					d.slots = append(d.slots, slot)
				}
			}
			found = append(found, d)
		}
	}
	return found
}

// slotOf reads an address with or without its function.
func slotOf(address string) (pci.Slot, bool) {
	if bdf, err := pci.ParseBDF(address); err == nil {
		return bdf.Slot, true
	}
	slot, err := pci.ParseSlot(address)
	return slot, err == nil
}

// memory returns the VM's memory in bytes. The configuration has MiB: "memory: 16384"
// or "current=16384"; the default is 512.
func (v vmConf) memory() uint64 {
	text := property(v.values["memory"], "current", "current")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		n = 512
	}
	return n << 20
}

// nics is the number of network devices.
func (v vmConf) nics() int {
	n := 0
	for key := range v.values {
		if number, is := strings.CutPrefix(key, "net"); is {
			if _, err := strconv.ParseUint(number, 10, 8); err == nil {
				n++
			}
		}
	}
	return n
}

// startSeconds returns how many seconds Proxmox waits for the start of the VM
// (PVE::QemuServer::Helpers, config_aware_timeout).
func (v vmConf) startSeconds() int {
	seconds := 30
	if mib := v.memory() >> 20; mib > 30720 {
		seconds = int(mib / 1024)
	}
	if len(v.devices()) > 0 {
		seconds *= 4
	}
	if v.values["hugepages"] != "" {
		seconds = max(seconds, 150)
	}
	return seconds + 5*v.nics()
}

// mapped is one device of a resource mapping of Proxmox, on one host.
type mapped struct {
	name  string // of the mapping
	node  string
	slot  pci.Slot
	path  string
	id    string // "10de:1eb8"
	subID string
	group string // number, "" when the mapping has none
}

// parseMappings reads /etc/pve/mapping/pci.cfg: a line with the name, indented
// lines with its properties below it, one "map" for each host.
func parseMappings(body string) []mapped {
	var found []mapped
	name := ""
	for line := range strings.Lines(body) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case line[0] != ' ' && line[0] != '\t':
			name = trimmed
			if _, after, typed := strings.Cut(trimmed, ": "); typed {
				name = after
			}
		default:
			value, is := strings.CutPrefix(trimmed, "map ")
			if !is || name == "" {
				continue
			}
			for _, path := range strings.Split(property(value, "path", ""), ";") {
				if slot, ok := slotOf(path); ok {
					found = append(found, mapped{
						name: name, node: property(value, "node", ""), slot: slot, path: path,
						id: property(value, "id", ""), subID: property(value, "subsystem-id", ""), group: property(value, "iommugroup", ""),
					})
				}
			}
		}
	}
	return found
}
