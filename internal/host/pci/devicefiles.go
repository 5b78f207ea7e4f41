package pci

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// nvidiaMinors are the device files of the cards that the NVIDIA driver has.
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

// deviceClasses are the classes of devices whose files are looked for, and where
// those are. An unbind waits for whoever has one of the first four open: display
// drivers, sound, VFIO's devices (those of IOMMUFD, which have a file of their own
// beside the group's), and I2C buses, by which programs speak to monitors and fans
// (it is i2c_del_adapter that waits). The others are of what is plugged into the
// card's USB: serial lines, hidraw, printers and modems, cameras. Who has one of
// those open loses it with the card. Keyboards (input) are left out: systemd-logind
// has each of them open.
var deviceClasses = []struct{ class, dir string }{
	{"drm", "/dev/dri/"}, {"sound", "/dev/snd/"}, {"vfio-dev", "/dev/vfio/devices/"}, {"i2c-dev", "/dev/"},
	{"tty", "/dev/"}, {"hidraw", "/dev/"}, {"usbmisc", "/dev/usb/"}, {"usbmisc", "/dev/"}, {"video4linux", "/dev/"},
}

// classFiles are the files of devices that belong to a PCI function.
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

// usbFiles are the files by which programs speak with USB devices themselves, as
// those for telephones, uninterruptible power supplies and dongles do: bus 3 device
// 2 is /dev/bus/usb/003/002.
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

// lastSlot is the slot of the last address in a path of sysfs: the device itself,
// behind its bridges.
func lastSlot(target string) (slot pci.Slot, ok bool) {
	for part := range strings.SplitSeq(target, "/") {
		if bdf, err := pci.ParseBDF(part); err == nil {
			slot, ok = bdf.Slot, true
		}
	}
	return slot, ok
}
