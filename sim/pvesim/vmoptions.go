package pvesim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// netModels are the network cards that QEMU offers in Proxmox.
var netModels = []string{"e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b",
	"i82559er", "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3"}

var bdfPart = `(?:[a-f0-9]{4,}:)?[a-f0-9]{2}:[a-f0-9]{2}(?:\.[a-f0-9])?`

var (
	hostpciFormat = &propFormat{defaultKey: "host", props: specs{
		"host":          matching(bdfPart + `(?:;` + bdfPart + `)*`),
		"mapping":       configIDSpec(),
		"pcie":          boolean(),
		"x-vga":         boolean(),
		"rombar":        boolean(),
		"romfile":       text(),
		"mdev":          text(),
		"driver":        oneOf("vfio", "keep"),
		"legacy-igd":    boolean(),
		"vendor-id":     matching(`0x[0-9a-fA-F]{4}`),
		"device-id":     matching(`0x[0-9a-fA-F]{4}`),
		"sub-vendor-id": matching(`0x[0-9a-fA-F]{4}`),
		"sub-device-id": matching(`0x[0-9a-fA-F]{4}`),
	}}
	fullBDF        = `[a-f0-9]{4,}:[a-f0-9]{2}:[a-f0-9]{2}(?:\.[a-f0-9])?`
	mapEntryFormat = &propFormat{props: specs{
		"node":         nodeSpec().req(),
		"path":         matching(fullBDF + `(?:;` + fullBDF + `)*`).req(),
		"id":           matching(`[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}`).req(),
		"subsystem-id": matching(`[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}`),
		"iommugroup":   integer(),
		"description":  text(),
	}}
	netFormat = &propFormat{defaultKey: "model", alias: netAliases(), keyAlias: "model", props: specs{
		"model":     oneOf(netModels...).req(),
		"macaddr":   formatted(macFormat),
		"bridge":    formatted(bridgeFormat),
		"queues":    integer().atLeast(0).atMost(64),
		"rate":      numeric().atLeast(0),
		"tag":       integer().atLeast(1).atMost(4094),
		"trunks":    matching(idRanges),
		"firewall":  boolean(),
		"link_down": boolean(),
		"mtu":       integer().atLeast(1).atMost(65520),
	}}
	memoryFormat = &propFormat{defaultKey: "current", props: specs{"current": integer().atLeast(16).req()}}
	agentFormat  = &propFormat{defaultKey: "enabled", props: specs{
		"enabled": boolean().req(), "type": oneOf("virtio", "isa"), "fstrim_cloned_disks": boolean(),
		"freeze-fs-on-backup": boolean(), "freeze-fs": boolean(), "guest-fsfreeze": boolean(),
	}}
	ipFormat = &propFormat{props: specs{
		"ip": formatted(ipConfigFormat), "gw": formatted(ip4Format).with("ip"),
		"ip6": formatted(ip6ConfigFormat), "gw6": formatted(ip6Format).with("ip6"),
	}}
	cicustomFormat = &propFormat{props: specs{
		"user": formatted(volumeFormat), "network": formatted(volumeFormat),
		"meta": formatted(volumeFormat), "vendor": formatted(volumeFormat),
	}}
	smbiosFormat = &propFormat{props: specs{
		"uuid": matching(uuidPattern), "serial": matching(base64Text), "manufacturer": matching(base64Text),
		"product": matching(base64Text), "version": matching(base64Text), "sku": matching(base64Text),
		"family": matching(base64Text), "base64": boolean(),
	}}
	machineFormat = &propFormat{defaultKey: "type", props: specs{
		"type":   matching(`pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?`),
		"viommu": oneOf("intel", "virtio"), "enable-s3": boolean(), "enable-s4": boolean(), "aw-bits": numeric().atLeast(32).atMost(64),
	}}
	vgaFormat = &propFormat{defaultKey: "type", props: specs{
		"type": oneOf("cirrus", "qxl", "qxl2", "qxl3", "qxl4", "none", "serial0", "serial1", "serial2", "serial3", "std",
			"virtio", "virtio-gl", "vmware"), "memory": integer().atLeast(4).atMost(512), "clipboard": oneOf("vnc"),
	}}
)

func netAliases() map[string]string {
	alias := map[string]string{}
	for _, model := range netModels {
		alias[model] = "macaddr"
	}
	return alias
}

// indexed are the numbered options, with the highest number.
var indexed = map[string]int{"hostpci": 15, "ide": 3, "scsi": 30, "sata": 5, "virtio": 15, "net": 31, "ipconfig": 31,
	"serial": 3, "unused": 255, "numa": 7, "parallel": 2, "usb": 13, "virtiofs": 9}

var indexedForm = regexp.MustCompile(`^([a-z]+)(0|[1-9]\d*)$`)

// splitIndex splits an option such as scsi0; ok is false if it does not exist.
func splitIndex(key string) (base string, index int, ok bool) {
	m := indexedForm.FindStringSubmatch(key)
	if m == nil {
		return "", 0, false
	}
	index, err := strconv.Atoi(m[2])
	highest, known := indexed[m[1]]
	return m[1], index, err == nil && known && index <= highest
}

// vmOption is the specification of one option of a VM's configuration.
func vmOption(key string) (spec, bool) {
	if s, ok := plainOptions[key]; ok {
		return s, true
	}
	base, _, ok := splitIndex(key)
	if !ok {
		return spec{}, false
	}
	return indexedOptions[base], true
}

var indexedOptions = map[string]spec{
	"hostpci": formatted(hostpciFormat.check), "net": formatted(netFormat.check), "ipconfig": formatted(ipFormat.check),
	"ide": formatted(ideFormat.check), "scsi": formatted(scsiFormat.check), "sata": formatted(sataFormat.check),
	"virtio": formatted(virtioFormat.check), "serial": matching(`/dev/.+|socket`), "unused": formatted(unusedFormat.check), "numa": formatted(numaFormat.check),
	"parallel": matching(`/dev/parport\d+|/dev/usb/lp\d+`), "usb": formatted(usbFormat.check), "virtiofs": formatted(virtiofsFormat.check),
}

var plainOptions = specs{
	"acpi": boolean(), "affinity": formatted(cpuSetFormat), "agent": formatted(agentFormat.check), "allow-ksm": boolean(), "amd-sev": text(),
	"arch": oneOf("x86_64", "aarch64"), "args": text(), "audio0": formatted(audioFormat.check), "autostart": boolean(), "balloon": integer().atLeast(0),
	"bios": oneOf("seabios", "ovmf"), "boot": formatted(bootFormat.check), "bootdisk": formatted(bootDiskFormat),
	"cicustom": formatted(cicustomFormat.check), "cipassword": text(), "citype": oneOf("configdrive2", "nocloud", "opennebula"),
	"ciupgrade": boolean(), "ciuser": text(), "cores": integer().atLeast(1), "cpu": formatted(cpuFormat.check),
	"cpulimit": numeric().atLeast(0).atMost(128), "cpuunits": integer().atLeast(1).atMost(262144),
	"description": text().upTo(8192), "efidisk0": formatted(efiFormat.check), "freeze": boolean(),
	"hookscript": formatted(volumeFormat), "hotplug": formatted(hotplugFormat), "hugepages": oneOf("any", "2", "1024"),
	"intel-tdx": text(), "ivshmem": formatted(ivshmemFormat.check), "keephugepages": boolean(), "keyboard": oneOf(keyboards...), "kvm": boolean(),
	"localtime": boolean(), "lock": oneOf("backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete",
		"suspending", "suspended"), "machine": formatted(machineFormat.check), "memory": formatted(memoryFormat.check),
	"migrate_downtime": numeric().atLeast(0), "migrate_speed": integer().atLeast(0), "name": formatted(dnsNameFormat),
	"nameserver": formatted(addressListFormat), "numa": boolean(), "onboot": boolean(),
	"ostype":     oneOf("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris"),
	"protection": boolean(), "reboot": boolean(), "rng0": formatted(rngFormat.check),
	"scsihw":       oneOf("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"),
	"searchdomain": text(), "shares": integer().atLeast(0).atMost(50000), "smbios1": formatted(smbiosFormat.check).upTo(512),
	"smp": integer().atLeast(1), "sockets": integer().atLeast(1), "spice_enhancements": formatted(spiceFormat.check),
	"sshkeys": formatted(urlEncodedFormat), "startdate": matching(startDate), "startup": formatted(startupFormat), "tablet": boolean(),
	"tags": formatted(tagsFormat), "tdf": boolean(), "template": boolean(), "tpmstate0": formatted(tpmFormat.check),
	"vcpus": integer().atLeast(1), "vga": formatted(vgaFormat.check),
	"vmgenid":        matching(uuidPattern + `|[01]`),
	"vmstatestorage": storageSpec(), "watchdog": formatted(watchdogFormat.check),
}

// vmOptionSpecs returns all options as parameters of a call.
func vmOptionSpecs() specs {
	out := merge(plainOptions, specs{"cdrom": formatted(ideFormat.check)})
	for base, highest := range indexed {
		for i := range highest + 1 {
			out[fmt.Sprint(base, i)] = indexedOptions[base]
		}
	}
	return out
}

var diskKeys = diskOptions()

// diskOptions returns the drive options in Proxmox's order.
func diskOptions() []string {
	var keys []string
	for _, bus := range []string{"ide", "scsi", "virtio", "sata"} {
		for i := range indexed[bus] + 1 {
			keys = append(keys, fmt.Sprint(bus, i))
		}
	}
	return append(keys, "efidisk0", "tpmstate0")
}

func isDrive(key string) bool { return slices.Contains(diskKeys, key) }

func isNet(key string) bool { return hasIndex(key, "net") }

func isHostpci(key string) bool { return hasIndex(key, "hostpci") }

func hasIndex(key, base string) bool {
	got, _, ok := splitIndex(key)
	return ok && got == base
}

// normaliseTags converts tags to the stored form of Proxmox: lower case, sorted, without
// duplicates.
func normaliseTags(text string) string {
	tags := splitList(strings.ToLower(text))
	slices.Sort(tags)
	return strings.Join(slices.Compact(tags), ";")
}
