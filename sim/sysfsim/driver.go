package sysfsim

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// VFIO is the driver for passing devices through to virtual machines.
const VFIO = "vfio-pci"

// Driver is a PCI driver with the devices that it matches by default.
type Driver struct {
	Name   string
	Module string // name of its module; "" when it is the same
	Vendor uint16 // 0: any
	Class  pci.Class
	Mask   pci.Class // of the class; 0: it matches nothing by itself
}

// Drivers returns the drivers that the simulator knows. If several match a device, the
// one that was loaded first gets it.
func Drivers() []Driver {
	return []Driver{
		{Name: VFIO, Module: "vfio_pci"},
		{Name: "nouveau", Vendor: 0x10de, Class: 0x030000, Mask: 0xff0000},
		{Name: "nvidia", Vendor: 0x10de, Class: 0x030000, Mask: 0xff0000},
		{Name: "ast", Vendor: 0x1a03, Class: 0x030000, Mask: 0xff0000},
		{Name: "bochs-drm", Module: "bochs", Vendor: 0x1234, Class: 0x030000, Mask: 0xff0000},
		{Name: "snd_hda_intel", Class: 0x040300, Mask: 0xffff00},
		{Name: "xhci_hcd", Module: "xhci_pci", Class: 0x0c0330, Mask: 0xffffff},
		{Name: "nvidia-gpu", Module: "i2c_nvidia_gpu", Vendor: 0x10de, Class: 0x0c8000, Mask: 0xffff00},
		{Name: "igb", Vendor: 0x8086, Class: 0x020000, Mask: 0xffff00},
		{Name: "nvme", Class: 0x010800, Mask: 0xffff00},
		{Name: "pcieport", Class: 0x060400, Mask: 0xffffff},
	}
}

func (d Driver) module() string {
	if d.Module != "" {
		return d.Module
	}
	return strings.ReplaceAll(d.Name, "-", "_")
}

const (
	devicesDir = "sys/bus/pci/devices"
	driversDir = "sys/bus/pci/drivers"
)

// device is one function, as the kernel knows it.
type device struct {
	bdf      string
	id       pci.ID
	class    pci.Class
	group    string // "" without an IOMMU
	override string
	driver   string
	inUse    bool // a process has it open: unbind waits
	locked   bool // an unbind hangs
}

// matches is pci_match_device of the kernel: with an override, only the driver with
// exactly that name matches.
func (h *Host) matches(driver string, d *device) bool {
	if d.override != "" {
		return d.override == driver
	}
	if slices.Contains(h.dynamic[driver], d.id) {
		return true
	}
	i := slices.IndexFunc(h.table, func(t Driver) bool { return t.Name == driver })
	if i < 0 {
		return false
	}
	t := h.table[i]
	return t.Mask != 0 && d.class&t.Mask == t.Class&t.Mask && (t.Vendor == 0 || t.Vendor == d.id.Vendor)
}

// probe binds a device to a matching driver.
func (h *Host) probe(driver string, d *device) error {
	switch {
	case d.driver != "":
		return syscall.EBUSY
	case driver == VFIO && d.group == "":
		return syscall.EINVAL // vfio needs a group
	}
	d.driver = driver
	h.tree.Symlink(path.Join(devicesDir, d.bdf, "driver"), h.up(d)+"bus/pci/drivers/"+driver)
	h.tree.Symlink(path.Join(driversDir, driver, d.bdf), "../../../../"+strings.TrimPrefix(h.real(d), "sys/"))
	if driver == VFIO {
		h.tree.WriteFile("dev/vfio/"+d.group, nil)
	}
	return nil
}

func (h *Host) detach(d *device) {
	driver := d.driver
	d.driver = ""
	h.tree.Remove(path.Join(h.real(d), "driver"))
	h.tree.Remove(path.Join(driversDir, driver, d.bdf))
	if driver != VFIO {
		return
	}
	for _, other := range h.devices {
		if other.driver == VFIO && other.group == d.group {
			return
		}
	}
	h.tree.Remove("dev/vfio/" + d.group)
}

// attach offers the device to the loaded drivers that match, in their order. There is
// no error when none takes it.
func (h *Host) attach(d *device) {
	for _, driver := range h.loaded {
		if d.driver == "" && h.matches(driver, d) {
			_ = h.probe(driver, d)
		}
	}
}

// load adds a driver to the bus, which binds it to all matching devices without a
// driver.
func (h *Host) load(name string) {
	if slices.Contains(h.loaded, name) {
		return
	}
	h.register(name)
	for _, d := range h.devices {
		if d.driver == "" && h.matches(name, d) {
			_ = h.probe(name, d)
		}
	}
}

// register creates the files of a driver.
func (h *Host) register(name string) {
	h.loaded = append(h.loaded, name)
	for _, attribute := range []string{"bind", "unbind", "new_id", "remove_id"} {
		h.tree.WriteFile(path.Join(driversDir, name, attribute), nil)
	}
	if i := slices.IndexFunc(h.table, func(t Driver) bool { return t.Name == name }); i >= 0 {
		h.tree.Mkdir("sys/module/" + h.table[i].module())
		h.tree.Symlink(path.Join(driversDir, name, "module"), "../../../../module/"+h.table[i].module())
	}
	if name == VFIO {
		h.tree.WriteFile("dev/vfio/vfio", nil)
	}
}

// real is the path of the device itself: "sys/devices/pci0000:00/…".
func (h *Host) real(d *device) string {
	name, err := h.tree.Resolve(path.Join(devicesDir, d.bdf))
	if err != nil {
		return path.Join(devicesDir, d.bdf)
	}
	return name
}

// up is the relative path from the device to sys/.
func (h *Host) up(d *device) string {
	return strings.Repeat("../", strings.Count(h.real(d), "/"))
}
