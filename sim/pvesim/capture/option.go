package capture

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// Fixed replacements of secrets and free text.
const (
	password  = "simulator"
	guestUser = "user"
	domain    = "example.org"
	publicKey = "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%20captured"
)

// plain are options whose values are numbers, flags or words of a fixed list, which
// pvesim checks: they contain no names. All others have a rule below; an option without
// a rule is left out.
var plain = []string{"acpi", "agent", "allow-ksm", "arch", "audio", "autostart", "balloon", "bios", "boot", "bootdisk", "citype",
	"ciupgrade", "cores", "cpulimit", "cpuunits", "freeze", "hotplug", "hugepages", "keephugepages", "keyboard", "kvm",
	"localtime", "lock", "machine", "memory", "migrate_downtime", "migrate_speed", "numa", "onboot", "ostype", "protection",
	"reboot", "rng", "scsihw", "shares", "smp", "sockets", "spice_enhancements", "startdate", "startup", "tablet", "tdf",
	"template", "vcpus", "vga", "watchdog", "parallel"}

// rule rewrites the value of an option; "" leaves the option out.
type rule func(n *names, vmid int, value string) string

var rules = map[string]rule{
	"name":           func(n *names, _ int, value string) string { return n.of(vmKind, value) },
	"tags":           func(n *names, _ int, value string) string { return n.tags(value) },
	"description":    func(n *names, _ int, value string) string { return n.record(value) },
	"net":            func(n *names, _ int, value string) string { return n.card(value) },
	"hostpci":        func(n *names, _ int, value string) string { return n.passed(value) },
	"ipconfig":       func(n *names, _ int, value string) string { return n.ipConfig(value) },
	"nameserver":     func(n *names, _ int, value string) string { return n.servers(value) },
	"searchdomain":   func(*names, int, string) string { return domain },
	"ciuser":         func(*names, int, string) string { return guestUser },
	"cipassword":     func(*names, int, string) string { return password },
	"sshkeys":        func(*names, int, string) string { return publicKey },
	"cicustom":       func(n *names, vmid int, value string) string { return n.custom(vmid, value) },
	"hookscript":     func(n *names, vmid int, value string) string { return n.volume(vmid, value) },
	"smbios":         func(n *names, _ int, value string) string { return n.smbios(value) },
	"vmgenid":        generationID,
	"meta":           func(_ *names, _ int, value string) string { return only(value, "creation-qemu") },
	"vmstatestorage": func(n *names, _ int, value string) string { return n.of(storageKind, value) },
	"unused":         func(n *names, vmid int, value string) string { return n.volume(vmid, firstProperty(value)) },
	"affinity":       func(_ *names, _ int, value string) string { return matched(value, `^[0-9,-]+$`) },
	"cpu":            func(n *names, _ int, value string) string { return n.processor(value) },
	"serial":         func(_ *names, _ int, value string) string { return either(value == "socket", value, "/dev/ttyS0") },
	"usb":            func(n *names, _ int, value string) string { return n.resource(value, "mapping", "host", "usb3") },
	"virtiofs": func(n *names, _ int, value string) string {
		return n.resource(value, "dirid", "cache", "direct-io", "expose-acl", "expose-xattr")
	},
	"ivshmem": func(_ *names, _ int, value string) string { return only(value, "size") },
}

var optionIndex = regexp.MustCompile(`\d+$`)

// option returns the new value of an option; ok is false if the option must be left out.
func (n *names) option(vmid int, key, value string) (changed string, ok bool) {
	base := optionIndex.ReplaceAllString(key, "")
	change := rules[base]
	switch {
	case change != nil:
		changed = change(n, vmid, value)
	case slices.Contains([]string{"ide", "scsi", "sata", "virtio", "efidisk", "tpmstate"}, base):
		changed = n.drive(vmid, value)
	case slices.Contains(plain, base):
		changed = value
	}
	return changed, changed != "" && pvesim.CheckOption(key, changed) == nil
}

func generationID(n *names, _ int, value string) string {
	if value == "0" || value == "1" {
		return value
	}
	return n.generation(value)
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func matched(value, form string) string {
	if regexp.MustCompile(form).MatchString(value) {
		return value
	}
	return ""
}

// rewrite changes a property string part by part, in order. A part without a name has the
// name "". change returns the new value, "" to drop the part.
func rewrite(value string, change func(key, value string) string) string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		key, text, named := strings.Cut(part, "=")
		if !named {
			key, text = "", part
		}
		switch text = change(key, text); {
		case text == "":
		case named:
			parts = append(parts, key+"="+text)
		default:
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ",")
}

// only keeps the named properties.
func only(value string, keys ...string) string {
	return rewrite(value, func(key, text string) string { return either(slices.Contains(keys, key), text, "") })
}

func firstProperty(value string) string {
	first, _, _ := strings.Cut(value, ",")
	return strings.TrimPrefix(strings.TrimPrefix(first, "file="), "volume=")
}

// tags replaces tags and sorts them, like Proxmox VE.
func (n *names) tags(value string) string {
	all := split(strings.ToLower(value))
	slices.SortFunc(all, natural)
	for i, tag := range all {
		all[i] = n.of(tagKind, tag)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ";")
}

// recordWords are the words that gpuworker writes in a record besides its fields.
var recordWords = []string{"made", "releasing"}

// lifecycles are those of gpuworker's workers.
var lifecycles = []string{"Ephemeral", "SemiPersistent"}

// record keeps only gpuworker's own line of a text, with new names.
func (n *names) record(note string) string {
	found, ok := inventory.ParseRecord(note)
	if !ok || found.Problem != "" {
		return ""
	}
	record := found.Record
	record.Worker, record.Pool = n.worker(record.Worker), n.of(workersKind, record.Pool)
	record.KubeCluster, record.Host = n.of(kubeKind, record.KubeCluster), n.of(hostKind, record.Host)
	record.Template = n.template(record.Template)
	record.Labels, record.Taints = n.labels(record.Labels), n.labels(record.Taints)
	record.Lifecycle = either(slices.Contains(lifecycles, record.Lifecycle), record.Lifecycle, "")
	if record.UUID != "" {
		record.UUID = n.uuid(record.UUID)
	}
	for _, uuid := range []*string{&record.Replacing, &record.Replaced} {
		if *uuid != "" && *uuid != inventory.UnknownVM {
			*uuid = n.uuid(*uuid)
		}
	}
	if record.By != "" {
		record.By = "somebody@somewhere"
	}
	record.Unknown = ""
	found.Flags = slices.DeleteFunc(found.Flags, func(word string) bool { return !slices.Contains(recordWords, word) })
	return record.Line(found.Flags...)
}

// labels are "a=b,c=d", taints "key=value:Effect".
func (n *names) labels(text string) string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		part, effect, tainted := strings.Cut(part, ":")
		key, value, valued := strings.Cut(part, "=")
		changed := n.of(labelKind, key)
		if valued {
			changed += "=" + n.of(valueKind, value)
		}
		if tainted && slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect) {
			changed += ":" + effect
		}
		out = append(out, changed)
	}
	return strings.Join(out, ",")
}

var macForm = regexp.MustCompile(`^(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)

// card rewrites a network card. Its address is the value of the property that is named
// after the model.
func (n *names) card(value string) string {
	return rewrite(value, func(key, text string) string {
		switch {
		case key == "bridge":
			return n.of(bridgeKind, text)
		case macForm.MatchString(text):
			return n.mac(text)
		case slices.Contains([]string{"", "model", "queues", "rate", "tag", "trunks", "firewall", "link_down", "mtu"}, key):
			return text
		}
		return ""
	})
}

// passed rewrites a hostpci option. Firmware files are left out because of their names.
func (n *names) passed(value string) string {
	return rewrite(value, func(key, text string) string {
		switch {
		case key == "mapping":
			return n.mapping(text)
		case slices.Contains([]string{"", "host", "pcie", "x-vga", "rombar", "driver", "legacy-igd", "vendor-id", "device-id",
			"sub-vendor-id", "sub-device-id"}, key):
			return text
		case key == "mdev":
			return matched(text, `^(nvidia|i915-GVTg_V\d)[-_]\w{1,10}$`)
		}
		return ""
	})
}

func (n *names) ipConfig(value string) string {
	return rewrite(value, func(key, text string) string {
		switch {
		case slices.Contains([]string{"dhcp", "auto", "manual"}, text):
			return text
		case key == "ip" || key == "ip6":
			return n.nets.cidr(text)
		case key == "gw" || key == "gw6":
			return n.nets.text(text)
		}
		return ""
	})
}

// servers rewrites a list of addresses or host names.
func (n *names) servers(value string) string {
	var out []string
	for _, server := range split(value) {
		if _, err := netip.ParseAddr(server); err == nil {
			out = append(out, n.nets.text(server))
			continue
		}
		out = append(out, n.counted("name server", server, "ns%d."+domain))
	}
	return strings.Join(out, " ")
}

func (n *names) custom(vmid int, value string) string {
	return rewrite(value, func(key, text string) string {
		if slices.Contains([]string{"user", "network", "meta", "vendor"}, key) {
			return n.volume(vmid, text)
		}
		return ""
	})
}

var uuidForm = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// smbios keeps the UUID, with a replacement.
func (n *names) smbios(value string) string {
	return rewrite(value, func(key, text string) string {
		switch {
		case key == "uuid" && uuidForm.MatchString(text):
			return n.uuid(text)
		case key == "serial":
			return n.of(serialKind, text)
		}
		return ""
	})
}

// processor rewrites a CPU type. Custom types of the cluster have names.
func (n *names) processor(value string) string {
	return rewrite(value, func(key, text string) string {
		switch custom, is := strings.CutPrefix(text, "custom-"); {
		case (key == "" || key == "cputype") && is:
			return "custom-" + n.of("cpu", custom)
		case slices.Contains([]string{"", "cputype", "reported-model"}, key):
			return matched(text, `^[A-Za-z0-9._-]{1,40}$`)
		case key == "flags":
			return matched(text, `^[+-][a-z0-9_-]+(;[+-][a-z0-9_-]+)*$`)
		case slices.Contains([]string{"hidden", "phys-bits", "guest-phys-bits"}, key):
			return matched(text, `^(\d+|host)$`)
		}
		return ""
	})
}

// resource rewrites an option that may name a USB or directory mapping.
func (n *names) resource(value, named string, others ...string) string {
	return rewrite(value, func(key, text string) string {
		switch {
		case key == named, key == "" && named == "dirid":
			return n.of(sharedKind, text)
		case key == "" || slices.Contains(others, key):
			return text
		}
		return ""
	})
}

// driveProperties are the properties of a drive without names: no serial, no WWN.
var driveProperties = []string{"size", "media", "format", "cache", "aio", "discard", "queues", "rerror", "werror", "backup",
	"replicate", "shared", "snapshot", "ssd", "iothread", "ro", "detect_zeroes", "scsiblock", "mbps", "mbps_rd", "mbps_wr",
	"iops", "iops_rd", "iops_wr", "efitype", "pre-enrolled-keys", "ms-cert", "version"}

func (n *names) drive(vmid int, value string) string {
	return rewrite(value, func(key, text string) string {
		switch {
		case key == "" || key == "file" || key == "volume":
			return n.volume(vmid, text)
		case slices.Contains(driveProperties, key):
			return text
		}
		return ""
	})
}

// diskForm matches Proxmox VE's own names of disks, including linked clones.
var diskForm = regexp.MustCompile(`^(\d+/)?(base-\d+-disk-\d+(\.(raw|qcow2|vmdk))?/)?(\d+/)?(vm|base)-\d+-(disk-\d+|cloudinit)(\.(raw|qcow2|vmdk))?$`)

// volume rewrites a volume, a path of the host, "none" or "cdrom".
func (n *names) volume(vmid int, id string) string {
	storage, name, isVolume := strings.Cut(id, ":")
	switch {
	case id == "none" || id == "cdrom":
		return id
	case strings.HasPrefix(id, "/"):
		return n.counted(diskKind, id, "/dev/disk/by-id/disk%d")
	case !isVolume:
		return ""
	}
	storage = n.of(storageKind, storage)
	kind, file, isFile := strings.Cut(name, "/")
	switch {
	case diskForm.MatchString(name):
		return storage + ":" + name
	case isFile && slices.Contains(fileContents, kind):
		return storage + ":" + n.file(kind, file)
	}
	// Numbers so high that no VM has a disk of them.
	folder := matched(kind, `^\d+$`)
	disk := n.counted("odd disk", id, fmt.Sprintf("vm-%d-disk-9%%03d", vmid))
	return storage + ":" + either(isFile && folder != "", folder+"/", "") + disk + fileEnding.FindString(name)
}
