package sysfsim

import (
	"fmt"
	"path"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Function is a function to add to a tree.
type Function struct {
	BDF       string
	Behind    string // the bridge above it; "" for the root
	ID        string // "10de:1b80"
	Subsystem string // "1458:3702"; "" for none
	Class     string // "0x030000"
	Group     int    // IOMMU group; negative for none
	Driver    string // "" for none
	BootVGA   bool
}

// Tree builds a host.
type Tree struct{ *hosttree.Archive }

// NewTree returns a host without devices whose Intel IOMMU is on.
func NewTree() Tree {
	t := Tree{hosttree.NewArchive()}
	t.Mkdir(devicesDir)
	t.Mkdir(driversDir)
	t.Mkdir("sys/class/iommu/dmar0")
	t.Mkdir("sys/class/net")
	t.Mkdir("sys/class/block")
	t.WriteFile("sys/bus/pci/drivers_probe", nil)
	t.WriteFile("sys/bus/pci/rescan", nil)
	t.WriteFile("proc/self/mountinfo", nil)
	t.WriteFile("proc/swaps", []byte("Filename\tType\tSize\tUsed\tPriority\n"))
	return t
}

// Add adds a function.
func (t Tree) Add(f Function) Tree {
	dir := "sys/devices/pci" + f.BDF[:strings.LastIndex(f.BDF, ":")]
	if f.Behind != "" {
		dir, _ = t.Resolve(path.Join(devicesDir, f.Behind))
		t.Mkdir(path.Join(dir, "pci_bus", f.BDF[:strings.LastIndex(f.BDF, ":")]))
	}
	dir = path.Join(dir, f.BDF)
	up := strings.Repeat("../", strings.Count(dir, "/"))
	vendor, device, _ := strings.Cut(f.ID, ":")
	subVendor, subDevice, known := strings.Cut(f.Subsystem, ":")
	if !known {
		subVendor, subDevice = "0000", "0000"
	}
	for name, text := range map[string]string{
		"vendor": "0x" + vendor, "device": "0x" + device, "subsystem_vendor": "0x" + subVendor, "subsystem_device": "0x" + subDevice,
		"class": f.Class, "driver_override": "(null)", "numa_node": "-1", "power_state": "D0", "reset_method": "flr bus",
	} {
		t.WriteFile(path.Join(dir, name), []byte(text+"\n"))
	}
	if strings.HasPrefix(f.Class, "0x0300") {
		t.WriteFile(path.Join(dir, "boot_vga"), fmt.Appendf(nil, "%d\n", map[bool]int{true: 1}[f.BootVGA]))
	}
	t.Symlink(path.Join(devicesDir, f.BDF), "../../../"+strings.TrimPrefix(dir, "sys/"))
	if f.Group >= 0 {
		group := fmt.Sprintf("kernel/iommu_groups/%d", f.Group)
		t.Symlink(path.Join(dir, "iommu_group"), up+group)
		t.WriteFile("sys/"+group+"/type", []byte("DMA-FQ\n"))
		t.Symlink("sys/"+group+"/devices/"+f.BDF, "../../../../"+strings.TrimPrefix(dir, "sys/"))
	}
	if f.Driver != "" {
		t.Mkdir(path.Join(driversDir, f.Driver))
		t.Symlink(path.Join(dir, "driver"), up+"bus/pci/drivers/"+f.Driver)
	}
	return t
}

// Below adds a device of a class below a function: a network interface ("net",
// "eno1") or a disk ("block", "sda"). sub is the path between them, "usb1/1-1".
func (t Tree) Below(bdf, sub, class, name string) Tree {
	dir, _ := t.Resolve(path.Join(devicesDir, bdf))
	dir = path.Join(dir, sub, class, name)
	t.Mkdir(dir)
	t.Symlink(path.Join("sys/class", class, name), "../../"+strings.TrimPrefix(dir, "sys/"))
	return t
}

// USB adds a device to a USB controller: port "3-1", model "046d:c31c", and for each
// interface its class and protocol, "03/01" for a keyboard.
func (t Tree) USB(bdf, port, id, product string, interfaces ...string) Tree {
	dir, _ := t.Resolve(path.Join(devicesDir, bdf))
	bus, _, _ := strings.Cut(port, "-")
	dir = path.Join(dir, "usb"+bus, port)
	const list = "sys/bus/usb/devices"
	t.Symlink(path.Join(list, "usb"+bus), "../../../"+strings.TrimPrefix(path.Dir(dir), "sys/"))
	t.Symlink(path.Join(list, port), "../../../"+strings.TrimPrefix(dir, "sys/"))
	vendor, model, _ := strings.Cut(id, ":")
	devices, _ := t.ReadDir(list)
	for name, text := range map[string]string{
		"idVendor": vendor, "idProduct": model, "product": product, "bDeviceClass": "00", "busnum": bus, "devnum": fmt.Sprint(len(devices)),
	} {
		t.WriteFile(path.Join(dir, name), []byte(text+"\n"))
	}
	for i, kind := range interfaces {
		part := path.Join(dir, fmt.Sprintf("%s:1.%d", port, i))
		class, protocol, _ := strings.Cut(kind, "/")
		t.WriteFile(path.Join(part, "bInterfaceClass"), []byte(class+"\n"))
		t.WriteFile(path.Join(part, "bInterfaceProtocol"), []byte(protocol+"\n"))
		t.Symlink(path.Join(list, path.Base(part)), "../../../"+strings.TrimPrefix(part, "sys/"))
	}
	return t
}

// Process adds a process with open files.
func (t Tree) Process(pid int, name string, files ...string) Tree {
	dir := fmt.Sprintf("proc/%d", pid)
	t.WriteFile(dir+"/comm", []byte(name+"\n"))
	t.Mkdir(dir + "/fd")
	for fd, file := range files {
		t.Symlink(fmt.Sprintf("%s/fd/%d", dir, fd), file)
	}
	return t
}

// The cards of Common.
const (
	TwoFunctions  = "0000:01:00" // on nouveau and snd_hda_intel
	FourFunctions = "0000:02:00" // a Turing card with USB and UCSI
	SameMake      = "0000:03:00" // the same model as TwoFunctions
	SharedGroup   = "0000:07:01" // behind a PCI bridge, with a network card
)

// Common is a typical host: a BMC with a screen, a network card, a disk with the root
// file system, and four NVIDIA cards.
func Common() Tree {
	t := NewTree()
	port := func(bdf string, group int) {
		t.Add(Function{BDF: bdf, ID: "8086:a340", Class: "0x060400", Group: group, Driver: "pcieport"})
	}
	t.Add(Function{BDF: "0000:00:00.0", ID: "8086:3ec2", Class: "0x060000", Group: 0})
	for i, bdf := range []string{"0000:00:01.0", "0000:00:01.1", "0000:00:01.2", "0000:00:02.0", "0000:00:03.0", "0000:00:1c.0", "0000:00:1d.0"} {
		port(bdf, i+1)
	}
	t.card("0000:00:01.0", TwoFunctions, 10)
	t.card("0000:00:01.2", SameMake, 12)
	t.turing("0000:00:01.1", FourFunctions, 11)
	t.Add(Function{BDF: "0000:04:00.0", Behind: "0000:00:02.0", ID: "8086:1521", Subsystem: "8086:0001", Class: "0x020000", Group: 13, Driver: "igb"})
	t.Below("0000:04:00.0", "", "net", "eno1")
	t.Add(Function{BDF: "0000:05:00.0", Behind: "0000:00:03.0", ID: "144d:a808", Subsystem: "144d:a801", Class: "0x010802", Group: 14, Driver: "nvme"})
	t.Below("0000:05:00.0", "nvme/nvme0", "block", "nvme0n1")
	t.WriteFile("sys/class/block/nvme0n1/dev", []byte("259:0\n"))
	t.WriteFile("proc/self/mountinfo", []byte("22 1 259:0 / / rw,relatime - ext4 /dev/nvme0n1 rw\n"))
	t.Add(Function{BDF: "0000:06:00.0", Behind: "0000:00:1c.0", ID: "1b21:1080", Class: "0x060401", Group: 15})
	t.Add(Function{BDF: "0000:07:01.0", Behind: "0000:06:00.0", ID: "10de:128b", Subsystem: "1043:85b5", Class: "0x030000", Group: 15, Driver: "nouveau"})
	t.Add(Function{BDF: "0000:07:02.0", Behind: "0000:06:00.0", ID: "8086:100e", Class: "0x020000", Group: 15, Driver: "igb"})
	t.Add(Function{BDF: "0000:08:00.0", Behind: "0000:00:1d.0", ID: "1a03:2000", Class: "0x030000", Group: 16, Driver: "ast", BootVGA: true})
	return t
}

// card is a card with two functions.
func (t Tree) card(port, slot string, group int) {
	t.Add(Function{BDF: slot + ".0", Behind: port, ID: "10de:1b80", Subsystem: "1458:3702", Class: "0x030000", Group: group, Driver: "nouveau"})
	t.Add(Function{BDF: slot + ".1", Behind: port, ID: "10de:10f0", Subsystem: "1458:3702", Class: "0x040300", Group: group, Driver: "snd_hda_intel"})
}

// turing is a card with four functions.
func (t Tree) turing(port, slot string, group int) {
	t.Add(Function{BDF: slot + ".0", Behind: port, ID: "10de:1e07", Subsystem: "10de:12a4", Class: "0x030000", Group: group, Driver: "nouveau"})
	t.Add(Function{BDF: slot + ".1", Behind: port, ID: "10de:10f7", Subsystem: "10de:12a4", Class: "0x040300", Group: group, Driver: "snd_hda_intel"})
	t.Add(Function{BDF: slot + ".2", Behind: port, ID: "10de:1ad6", Subsystem: "10de:12a4", Class: "0x0c0330", Group: group, Driver: "xhci_hcd"})
	t.Add(Function{BDF: slot + ".3", Behind: port, ID: "10de:1ad7", Subsystem: "10de:12a4", Class: "0x0c8000", Group: group, Driver: "nvidia-gpu"})
}
