package proxmox

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// options are a VM's configuration by option name, as Proxmox writes it:
// {"cores": "4", "net0": "virtio=…,bridge=vmbr0"}.
type options map[string]string

// nextOptions returns the configuration as it will be at the next start: with
// pending values, without options that are marked for removal.
func nextOptions(config pve.PendingConfig) options {
	next := options{}
	for key, option := range config.Options {
		switch {
		case option.Delete:
		case option.HasPending:
			next[key] = option.Pending
		case option.HasValue:
			next[key] = option.Value
		}
	}
	return next
}

// appliedOptions returns the configuration that the VM runs with now.
func appliedOptions(config pve.PendingConfig) options {
	applied := options{}
	for key, option := range config.Options {
		if option.HasValue {
			applied[key] = option.Value
		}
	}
	return applied
}

func (o options) number(key string, fallback int) int {
	n, err := strconv.Atoi(strings.TrimSpace(o[key]))
	if err != nil {
		return fallback
	}
	return n
}

func (o options) flag(key string) bool { return isTrue(o[key]) }

func isTrue(text string) bool {
	return slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(text))
}

// property reads one key of a property string. The value without a key ("host" in
// "host,flags=+aes") is read as defaultKey.
func property(text, key, defaultKey string) string {
	properties := pve.ParseProperties(text)
	if value, ok := properties.Get(key); ok {
		return value
	}
	if key == defaultKey {
		value, _ := properties.Get("")
		return value
	}
	return ""
}

// withProperty sets one key of a property string and keeps all others. An empty
// value removes the key.
func withProperty(text, key, value string) string {
	properties := pve.ParseProperties(text)
	if value == "" {
		properties.Delete(key)
	} else {
		properties.Set(key, value)
	}
	return properties.String()
}

func (o options) tags() []string {
	return strings.FieldsFunc(o["tags"], func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}

func (o options) uuid() string { return strings.ToLower(property(o["smbios1"], "uuid", "")) }

// memoryMiB reads "4096" and "current=4096" (Proxmox VE 8 and later).
func (o options) memoryMiB() int {
	n, err := strconv.Atoi(property(o["memory"], "current", "current"))
	if err != nil {
		return 512 // the default, qm(1)
	}
	return n
}

// bootDisk finds the boot disk: the first in the boot order that is not a CD-ROM,
// or else the first by bus and number.
func (o options) bootDisk() (key, volume string) {
	for _, candidate := range strings.Split(property(o["boot"], "order", ""), ";") {
		if value, ok := o[candidate]; ok && isDisk(candidate, value) {
			return candidate, property(value, "file", "file")
		}
	}
	for _, bus := range []string{"scsi", "virtio", "sata", "ide"} {
		for n := range 31 {
			candidate := bus + strconv.Itoa(n)
			if value, ok := o[candidate]; ok && isDisk(candidate, value) {
				return candidate, property(value, "file", "file")
			}
		}
	}
	return "", ""
}

func isDisk(key, value string) bool {
	bus := strings.TrimRight(key, "0123456789")
	return slices.Contains([]string{"scsi", "virtio", "sata", "ide"}, bus) && property(value, "media", "") != "cdrom"
}

// cloudInitDrive reports whether a cloud-init drive is attached.
func (o options) cloudInitDrive() bool {
	for _, value := range o {
		if property(value, "media", "") == "cdrom" && isCloudInit(value) {
			return true
		}
	}
	return false
}

// storages returns the storages of all drives, EFI variables, TPM state and CD-ROMs.
func (o options) storages() []string {
	var names []string
	for key, value := range o {
		bus := strings.TrimRight(key, "0123456789")
		drive := bus != key && slices.Contains([]string{"scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"}, bus)
		name := storageOf(property(value, "file", "file"))
		if drive && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sizeMiB reads "10G", "528K", "40960M"; 0 when it cannot be read.
func sizeMiB(text string) int {
	if text == "" {
		return 0
	}
	number, unit := text[:len(text)-1], text[len(text)-1]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	switch unit {
	case 'K':
		return int(n / 1024)
	case 'M':
		return int(n)
	case 'G':
		return int(n * 1024)
	case 'T':
		return int(n * 1024 * 1024)
	}
	return 0
}

func storageOf(volume string) string {
	storage, _, found := strings.Cut(volume, ":")
	if !found {
		return ""
	}
	return storage
}

// machine converts a configuration into the hypervisor-neutral form.
func (o options) machine() inventory.Machine {
	key, volume := o.bootDisk()
	m := inventory.Machine{
		Cores:      o.number("cores", 1) * o.number("sockets", 1),
		MemoryMiB:  o.memoryMiB(),
		CPU:        property(o["cpu"], "cputype", "cputype"),
		Type:       inventory.TypeI440FX,
		Firmware:   inventory.FirmwareBIOS,
		DiskMiB:    sizeMiB(property(o[key], "size", "")),
		Storage:    storageOf(volume),
		NICs:       o.nics(),
		Guest:      o.guest(),
		OnBoot:     o.flag("onboot"),
		Protection: o.flag("protection"),
		Agent:      isTrue(property(o["agent"], "enabled", "enabled")),
	}
	m.BalloonMiB = o.number("balloon", m.MemoryMiB)
	if m.CPU == "" {
		m.CPU = "kvm64" // the default, qm(1)
	}
	if strings.Contains(property(o["machine"], "type", "type"), "q35") {
		m.Type = inventory.TypeQ35
	}
	if o["bios"] == "ovmf" {
		m.Firmware = inventory.FirmwareUEFI
	}
	return m
}

func (o options) guest() inventory.Guest {
	g := inventory.Guest{
		User:   o["ciuser"],
		DNS:    strings.Fields(o["nameserver"]),
		Search: strings.Fields(o["searchdomain"]),
	}
	if keys, err := url.PathUnescape(o["sshkeys"]); err == nil {
		for line := range strings.Lines(keys) {
			if line = strings.TrimSpace(line); line != "" {
				g.SSHKeys = append(g.SSHKeys, line)
			}
		}
	}
	return g
}

// update returns the smallest change that makes the configuration as desired,
// without the card. When both results are empty, there is nothing to do.
func (o options) update(desired inventory.Machine) (set options, remove []string) {
	set = options{}
	have := o.machine()
	put := func(differs bool, key, value string) {
		switch {
		case !differs:
		case value == "":
			remove = append(remove, key)
		default:
			set[key] = value
		}
	}
	put(have.Cores != desired.Cores, "cores", strconv.Itoa(desired.Cores))
	if have.Cores != desired.Cores && o.number("sockets", 1) != 1 {
		set["sockets"] = "1"
	}
	put(have.MemoryMiB != desired.MemoryMiB, "memory", strconv.Itoa(desired.MemoryMiB))
	put(have.BalloonMiB != desired.BalloonMiB, "balloon", strconv.Itoa(desired.BalloonMiB))
	put(have.CPU != desired.CPU, "cpu", desired.CPU)
	put(have.Type != desired.Type, "machine", machineOption(desired.Type))
	o.updateNICs(have.NICs, desired.NICs, put)
	put(have.OnBoot != desired.OnBoot, "onboot", flagText(desired.OnBoot))
	put(have.Protection != desired.Protection, "protection", flagText(desired.Protection))
	put(desired.Agent && !have.Agent, "agent", "enabled=1")
	if desired.Firmware != "" && have.Firmware != desired.Firmware {
		o.setFirmware(set, desired)
	}
	o.updateGuest(have.Guest, desired.Guest, put)
	return set, remove
}

func machineOption(machineType string) string {
	if machineType == inventory.TypeQ35 {
		return "q35"
	}
	return "pc"
}

func flagText(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// setFirmware changes the firmware. OVMF, Proxmox's UEFI, gets a disk for its
// variables, without Secure Boot keys: with them, the kernel refuses an unsigned
// NVIDIA module (pve-docs qm.adoc, "BIOS and UEFI").
func (o options) setFirmware(set options, desired inventory.Machine) {
	if desired.Firmware == inventory.FirmwareBIOS {
		set["bios"] = "seabios"
		return
	}
	set["bios"] = "ovmf"
	if o["efidisk0"] != "" {
		return
	}
	storage := desired.Storage
	if storage == "" {
		_, volume := o.bootDisk()
		storage = storageOf(volume)
	}
	set["efidisk0"] = storage + ":1,efitype=4m,pre-enrolled-keys=0"
}

func (o options) updateGuest(have, desired inventory.Guest, put func(bool, string, string)) {
	put(desired.User != "" && have.User != desired.User, "ciuser", desired.User)
	put(!slices.Equal(have.SSHKeys, desired.SSHKeys), "sshkeys", pve.EncodeSSHKeys(desired.SSHKeys))
	put(len(desired.DNS) > 0 && !slices.Equal(have.DNS, desired.DNS), "nameserver", strings.Join(desired.DNS, " "))
	put(len(desired.Search) > 0 && !slices.Equal(have.Search, desired.Search), "searchdomain", strings.Join(desired.Search, " "))
}
