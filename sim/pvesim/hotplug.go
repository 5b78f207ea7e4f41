package pvesim

import (
	"maps"
	"slices"
	"strings"
)

// fastPlugged are options that do not affect a running machine.
var fastPlugged = []string{"description", "hookscript", "lock", "migrate_downtime", "migrate_speed", "name", "onboot",
	"protection", "shares", "startup", "tags", "vmstatestorage"}

// plugs are the kinds of devices that can be hotplugged.
type plugs map[string]bool

// pluggable reads the option hotplug; the default is network cards, disks and USB
// devices.
func pluggable(conf map[string]string) plugs {
	list, set := conf["hotplug"]
	if !set || list == "1" {
		list = "network,disk,usb"
	}
	can := plugs{}
	for _, kind := range splitList(list) {
		can[kind] = true
	}
	return can
}

// usb reports whether USB devices can be hotplugged; systems older than Windows 8 do not
// support it well.
func (can plugs) usb(v *vm) bool {
	system := v.conf["ostype"]
	return can["usb"] && (system == "l26" || slices.Contains([]string{"win8", "win10", "win11"}, system))
}

// always reports whether an option applies to every running VM.
func always(key string) bool {
	return slices.Contains(fastPlugged, key) || key == "cpuunits" || key == "cpulimit" ||
		slices.Contains(cloudInitOptions, key) || hasIndex(key, "ipconfig")
}

// hotplugWaits reports whether a change of hotplug needs a restart, because it concerns
// memory or CPUs.
func hotplugWaits(v *vm) bool {
	both := v.conf["hotplug"] + "," + v.pending["hotplug"]
	return strings.Contains(both, "memory") || strings.Contains(both, "cpu")
}

// unplug reports whether the deletion of an option applies to a running VM.
func (can plugs) unplug(v *vm, key string) bool {
	switch {
	case always(key) || hasIndex(key, "unused"):
		return true
	case key == "hotplug":
		return !hotplugWaits(v)
	case key == "tablet":
		return can["usb"]
	case hasIndex(key, "usb"):
		return can.usb(v)
	case key == "vcpus":
		return can["cpu"]
	case key == "balloon":
		return v.conf["balloon"] != "0"
	case isNet(key):
		return can["network"]
	}
	return isDrive(key) && can["disk"] && busPlugs(key)
}

// plug reports whether a new value of an option applies to a running VM: hostpci,
// memory, cores and most others wait for a restart.
func (can plugs) plug(v *vm, key string) bool {
	old, had := v.conf[key]
	value, set := v.pending[key]
	switch {
	case always(key):
		return true
	case key == "hotplug":
		return !hotplugWaits(v)
	case key == "tablet":
		return can["usb"]
	case hasIndex(key, "usb"):
		return can.usb(v)
	case key == "vcpus":
		return can["cpu"]
	case key == "balloon":
		return v.conf["balloon"] != "0" && v.pending["balloon"] != "0"
	case key == "agent":
		return had && set && onlyDiffers(agentFormat.parse(old), agentFormat.parse(value), "fstrim_cloned_disks")
	case isNet(key):
		return can["network"] || sameNetCard(old, value)
	}
	return isDrive(key) && can.driveFits(key, old, value)
}

// sameNetCard reports whether two values differ only in the network behind the card,
// which the guest does not see.
func sameNetCard(old, value string) bool {
	was, is := netFormat.parse(old), netFormat.parse(value)
	_, bridge := netAddress(old)
	_, newBridge := netAddress(value)
	card, _, _ := strings.Cut(old, ",") // model=address
	newCard, _, _ := strings.Cut(value, ",")
	return card == newCard && bridge != "" && newBridge != "" && was["queues"] == is["queues"] && was["mtu"] == is["mtu"]
}

// fixedProps are properties of a disk that the guest sees: they wait for a restart.
var fixedProps = []string{"aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro"}

// busPlugs reports whether drives of this bus can be hotplugged.
func busPlugs(key string) bool { return hasIndex(key, "scsi") || hasIndex(key, "virtio") }

// driveFits reports whether a drive can be changed while the VM is running: the medium
// of a CD drive, the limits of any disk, and disks on buses with hotplug.
func (can plugs) driveFits(key, old, value string) bool {
	if key == "efidisk0" || key == "tpmstate0" {
		return false
	}
	was, is := parseDrive(old), parseDrive(value)
	if old != "" && value != "" && was.isCDROM() && is.isCDROM() {
		return true
	}
	if old != "" && was.file == is.file {
		return !slices.ContainsFunc(fixedProps, func(name string) bool { return was.props[name] != is.props[name] })
	}
	return can["disk"] && busPlugs(key)
}

// onlyDiffers reports whether two values differ only in one property.
func onlyDiffers(a, b map[string]string, name string) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	delete(a, name)
	delete(b, name)
	return maps.Equal(a, b)
}
