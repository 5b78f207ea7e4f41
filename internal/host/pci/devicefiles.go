package pci

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// nvidiaMinors maps the device files of the NVIDIA driver to their cards.
func nvidiaMinors(tree hosttree.Reader) map[string]pci.Slot {
	const dir = "proc/driver/nvidia/gpus"
	minors := map[string]pci.Slot{}
	names, _ := tree.ReadDir(dir)
	for _, name := range names {
		bdf, err := pci.ParseBDF(name)
		if err != nil {
			continue
		}
		data, _ := tree.ReadFile(path.Join(dir, name, "information"))
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "Device Minor" {
				minors["/dev/nvidia"+strings.TrimSpace(value)] = bdf.Slot
			}
		}
	}
	return minors
}

// deviceClasses are the classes of device files that make a process a holder of the
// card, with the directories of these files. An unbind waits until the files of the
// first four classes are closed: display, sound, the device files of VFIO (IOMMUFD
// has one for each device besides that of the group), and I2C buses to monitors and
// fans (i2c_del_adapter waits). The other classes are devices on the card's USB:
// serial lines, hidraw, printers and modems, cameras. Programs that use them lose
// them with the card. Keyboards (input) are left out, because systemd-logind has
// each of them open.
var deviceClasses = []struct{ class, dir string }{
	{"drm", "/dev/dri/"}, {"sound", "/dev/snd/"}, {"vfio-dev", "/dev/vfio/devices/"}, {"i2c-dev", "/dev/"},
	{"tty", "/dev/"}, {"hidraw", "/dev/"}, {"usbmisc", "/dev/usb/"}, {"usbmisc", "/dev/"}, {"video4linux", "/dev/"},
}

// classFiles maps the device files of these classes to the slots of their PCI devices.
func classFiles(tree hosttree.Reader) map[string]pci.Slot {
	files := usbFiles(tree)
	for _, c := range deviceClasses {
		class, dir := c.class, c.dir
		names, _ := tree.ReadDir(path.Join("sys/class", class))
		for _, name := range names {
			at := path.Join("sys/class", class, name)
			target, _ := tree.Readlink(at)
			device, _ := tree.Readlink(path.Join(at, "device"))
			if slot, ok := lastSlot(target + "/" + device); ok {
				files[dir+name] = slot
			}
		}
	}
	return files
}

// usbFiles maps the raw device files of USB devices to the slots of their controllers.
// Programs for phones, UPSs and dongles use them. Bus 3 device 2 is
// /dev/bus/usb/003/002.
func usbFiles(tree hosttree.Reader) map[string]pci.Slot {
	const dir = "sys/bus/usb/devices"
	files := map[string]pci.Slot{}
	names, _ := tree.ReadDir(dir)
	for _, name := range names {
		target, _ := tree.Readlink(path.Join(dir, name))
		slot, ok := lastSlot(target)
		bus, device := usbNumber(tree, path.Join(dir, name, "busnum")), usbNumber(tree, path.Join(dir, name, "devnum"))
		if ok && bus > 0 && device > 0 {
			files[fmt.Sprintf("/dev/bus/usb/%03d/%03d", bus, device)] = slot
		}
	}
	return files
}

func usbNumber(tree hosttree.Reader, name string) int {
	data, _ := tree.ReadFile(name)
	number, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return number
}

// lastSlot returns the slot of the last address in a sysfs path: that of the device,
// which follows its bridges.
func lastSlot(target string) (slot pci.Slot, ok bool) {
	for part := range strings.SplitSeq(target, "/") {
		if bdf, err := pci.ParseBDF(part); err == nil {
			slot, ok = bdf.Slot, true
		}
	}
	return slot, ok
}
