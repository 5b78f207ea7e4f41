package bind

import (
	"path"
	"slices"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// readConsoles finds the serial lines below a slot that are consoles of the kernel
// (proc_consoles(5)): "ttyUSB0 -W- (EC p  ) 188:0". A login on a serial line is found
// as a holder.
func readConsoles(tree hosttree.Reader, slot pci.Slot) []Below {
	var found []Below
	data, _ := tree.ReadFile("proc/consoles")
	for line := range strings.Lines(string(data)) {
		name, _, _ := strings.Cut(line, " ")
		target, err := tree.Readlink(path.Join("sys/class/tty", name))
		if err != nil {
			continue
		}
		if bdf, below := functionAbove(target, slot); below {
			found = append(found, Below{BDF: bdf, What: "serial line " + name + ", which is a console of the kernel"})
		}
	}
	return found
}

const usbDevices = "sys/bus/usb/devices"

// readUSB finds the devices that are plugged into a slot's USB controller: some
// cards have a port for headsets. Hubs do not count, the devices behind them do.
func readUSB(tree hosttree.Reader, slot pci.Slot) []Below {
	var found []Below
	names, _ := tree.ReadDir(usbDevices)
	for _, name := range names {
		if strings.Contains(name, ":") || strings.HasPrefix(name, "usb") {
			continue // an interface of a device, or the controller's own hub
		}
		target, err := tree.Readlink(path.Join(usbDevices, name))
		if err != nil {
			continue
		}
		text := func(attribute string) string {
			data, _ := tree.ReadFile(path.Join(usbDevices, name, attribute))
			return strings.TrimSpace(string(data))
		}
		bdf, below := functionAbove(target, slot)
		if !below || text("bDeviceClass") == "09" {
			continue
		}
		what := "USB " + usbKind(tree, name) + " " + name
		id := strings.Trim(text("idVendor")+":"+text("idProduct"), ":")
		if about := strings.Trim(id+", "+text("product"), ", "); about != "" {
			what += " (" + about + ")"
		}
		found = append(found, Below{BDF: bdf, What: what, Goes: true})
	}
	return found
}

// usbKind names the kind of a device by its interfaces: bInterfaceClass, and for
// keyboards and mice also bInterfaceProtocol (usb.org, Defined Class Codes).
func usbKind(tree hosttree.Reader, name string) string {
	var kinds []string
	parts, _ := tree.ReadDir(path.Join(usbDevices, name))
	for _, part := range parts {
		if !strings.HasPrefix(part, name+":") {
			continue
		}
		class, _ := tree.ReadFile(path.Join(usbDevices, name, part, "bInterfaceClass"))
		protocol, _ := tree.ReadFile(path.Join(usbDevices, name, part, "bInterfaceProtocol"))
		kind := usbClasses[strings.TrimSpace(string(class))]
		if kind == "input device" {
			kind = map[string]string{"01": "keyboard", "02": "mouse"}[strings.TrimSpace(string(protocol))]
		}
		if kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		return "device"
	}
	return strings.Join(kinds, " and ")
}

var usbClasses = map[string]string{
	"01": "sound", "02": "modem or serial line", "03": "input device", "06": "camera or telephone", "07": "printer",
	"08": "storage", "0b": "smart card reader", "0e": "camera", "e0": "wireless adapter",
}
