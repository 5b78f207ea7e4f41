package pvesim

import (
	"maps"
	"slices"
	"strings"
)

// fastPlugged are options that a running machine knows nothing of.
var fastPlugged = []string{"description", "hookscript", "lock", "migrate_downtime", "migrate_speed", "name", "onboot",
	"protection", "shares", "startup", "tags", "vmstatestorage"}

// plugs are the kinds of devices that may come and go while a VM runs.
type plugs map[string]bool

// pluggable reads the option hotplug: network cards, disks and USB devices,
// unless it says otherwise.
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

// usb reports whether USB devices can be plugged: systems older than Windows 8
// do not take that well.
func (can plugs) usb(v *vm) bool {
	system := v.conf["ostype"]
	return can["usb"] && (system == "l26" || slices.Contains([]string{"win8", "win10", "win11"}, system))
}

// always tells options that apply while a VM runs whatever it has.
func always(key string) bool {
	return slices.Contains(fastPlugged, key) || key == "cpuunits" || key == "cpulimit" ||
		slices.Contains(cloudInitOptions, key) || hasIndex(key, "ipconfig")
}

// hotplugWaits: who switches the hotplug of memory or CPUs restarts the VM.
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

// sameNetCard reports whether two values differ only in what is behind a network
// card, which the guest does not see.
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

// busPlugs reports whether the bus of a drive lets drives come and go.
func busPlugs(key string) bool { return hasIndex(key, "scsi") || hasIndex(key, "virtio") }

// driveFits reports whether a drive may change while the VM runs: media of CD
// drives and limits of any disk do, and disks of buses that can be plugged.
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

// onlyDiffers reports whether two values are equal but for one property.
func onlyDiffers(a, b map[string]string, name string) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	delete(a, name)
	delete(b, name)
	return maps.Equal(a, b)
}
