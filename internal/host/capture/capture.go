package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// files are the files whose content is copied, each with the function that keeps
// the safe part of it. A star stands for one name.
var files = []struct {
	pattern string
	keep    func(*scrubber, []byte) []byte
}{
	{"proc/cmdline", (*scrubber).cmdline}, {"etc/kernel/cmdline", (*scrubber).cmdline},
	{"etc/default/grub", (*scrubber).grub}, {"etc/default/grub.d/*", (*scrubber).grub},
	{"boot/grub/grub.cfg", (*scrubber).entries}, {"boot/grub2/grub.cfg", (*scrubber).entries}, {"boot/loader/entries/*", (*scrubber).entries},
	{"etc/modprobe.d/*", (*scrubber).modprobe}, {"lib/modprobe.d/*", (*scrubber).modprobe}, {"usr/lib/modprobe.d/*", (*scrubber).modprobe}, {"run/modprobe.d/*", (*scrubber).modprobe},
	{"etc/modules", (*scrubber).moduleNames}, {"etc/initramfs-tools/modules", (*scrubber).moduleNames},
	{"etc/modules-load.d/*", (*scrubber).moduleNames}, {"lib/modules-load.d/*", (*scrubber).moduleNames},
	{"usr/lib/modules-load.d/*", (*scrubber).moduleNames}, {"run/modules-load.d/*", (*scrubber).moduleNames},
	{"etc/driverctl.d/*", (*scrubber).moduleNames}, {"etc/os-release", (*scrubber).osRelease}, {"usr/lib/os-release", (*scrubber).osRelease},
	{"proc/interrupts", (*scrubber).interrupts}, {"var/log/dmesg", (*scrubber).kernelLog}, {"var/log/kern.log", (*scrubber).kernelLog},
	{"proc/modules", (*scrubber).text}, {"proc/iomem", (*scrubber).text}, {"proc/meminfo", (*scrubber).text}, {"proc/uptime", (*scrubber).text},
	{"proc/sys/kernel/osrelease", (*scrubber).text}, {"proc/spl/kstat/zfs/arcstats", (*scrubber).text},
	{"etc/kernel/proxmox-boot-uuids", (*scrubber).text}, {"etc/pve/.version", (*scrubber).text},
	{"sys/module/*/parameters/enable_unsafe_noiommu_mode", (*scrubber).text}, {"sys/module/vfio_iommu_type1/parameters/*", (*scrubber).text},
	{"sys/module/vfio_pci/parameters/*", (*scrubber).text}, {"sys/module/sysfb/parameters/*", (*scrubber).text},
	{"sys/kernel/iommu_groups/*/type", (*scrubber).text}, {"sys/kernel/iommu_groups/*/reserved_regions", (*scrubber).text},
	{"sys/kernel/security/lockdown", (*scrubber).text}, {"sys/class/iommu/*/intel-iommu/cap", (*scrubber).text},
	{"sys/class/graphics/*/name", (*scrubber).text},
	{"sys/bus/pci/slots/*/address", (*scrubber).text}, {"proc/consoles", (*scrubber).text}, {hostpci.Reservations, (*scrubber).text},
}

// present are files and directories of which only the existence is recorded.
var present = []string{
	"sys/firmware/acpi/tables", "sys/firmware/acpi/tables/DMAR", "sys/firmware/acpi/tables/IVRS", "sys/firmware/acpi/tables/IORT",
	"sys/class/iommu", "sys/class/iommu/*", "sys/bus/pci/drivers/*", "etc/initramfs-tools", "etc/dracut.conf", "etc/pve/local",
}

// links are copied as links.
var links = []string{
	"sys/class/drm/*/device", "sys/class/sound/*", "sys/class/i2c-dev/*", "sys/class/net/*", "sys/class/block/*",
	"sys/class/tty/ttyUSB*", "sys/class/tty/ttyACM*", "sys/class/hidraw/*", "sys/class/usbmisc/*", "sys/class/video4linux/*",
}

// attributes are the attributes of a PCI function that are copied. Those with
// serial numbers (vpd, and config after its first 64 bytes) are left out.
var attributes = []string{
	"class", "vendor", "device", "subsystem_vendor", "subsystem_device", "revision", "driver_override", "numa_node", "boot_vga",
	"resource", "current_link_speed", "current_link_width", "max_link_speed", "max_link_width", "power_state", "d3cold_allowed",
	"power/control", "reset_method", "sriov_numvfs", "sriov_totalvfs", "enable",
}

var (
	attributeLinks = []string{"driver", "iommu_group", "physfn"}
	attributeDirs  = []string{"pci_bus", "mdev_supported_types", "nvidia"}
)

// attributeSize is the maximum size of a sysfs attribute (Documentation/filesystems/sysfs.rst).
const attributeSize = 4096

// configHead is the standard header of the configuration space (PCI 3.0, 6.1).
const configHead = 64

// Options are the inputs of a capture besides the tree. For those that are missing,
// the values of an earlier capture in the tree are kept.
type Options struct {
	Taken     string                      // time of the capture, RFC 3339; "" when unknown
	KernelLog []byte                      // of the running kernel; nil when it could not be read
	Images    map[string]hostbind.Listing // of initramfs images, by their paths
}

// Capture copies a host. Files that exist but cannot be read are marked so in the
// archive.
func Capture(tree hosttree.Reader, o Options) (*hosttree.Archive, error) {
	host, err := hostpci.Read(tree)
	if err != nil {
		return nil, err
	}
	c := &capture{tree: tree, to: readable{hosttree.NewArchive()}, scrub: newScrubber(), options: o}
	for i := range host.Functions {
		c.function(host.Functions[i].BDF)
	}
	c.oddities()
	for _, file := range files {
		c.each(file.pattern, func(name string) { c.content(name, func(data []byte) []byte { return file.keep(c.scrub, data) }) })
	}
	for _, pattern := range present {
		c.each(pattern, c.presence)
	}
	for _, pattern := range links {
		c.each(pattern, c.link)
	}
	c.each("dev/vfio/*", c.device)
	c.each("sys/firmware/efi/efivars/SecureBoot-*", func(name string) { c.binary(name, flag) })
	c.each("sys/bus/usb/devices/*", c.usb)
	c.ours()
	c.dateAndLog()
	c.names(host)
	c.modules()
	c.boot()
	c.configs()
	c.mappings()
	c.excerpts()
	c.nvidia()
	c.holders(host)
	return c.to.Archive, nil
}

type capture struct {
	tree    hosttree.Reader
	to      readable
	scrub   *scrubber
	options Options
}

// each calls do for all names that match a pattern.
func (c *capture) each(pattern string, do func(name string)) {
	dir, rest, star := strings.Cut(pattern, "*")
	if !star {
		do(pattern)
		return
	}
	dir, prefix := path.Split(dir)
	names, err := c.tree.ReadDir(path.Clean(dir))
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			c.to.Deny(path.Clean(dir))
		}
		return
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			c.each(path.Join(dir, name)+rest, do)
		}
	}
}

// dateAndLog keeps the time of the capture and the log of the running kernel, which
// are not files of the host.
func (c *capture) dateAndLog() {
	if c.options.Taken != "" {
		c.to.WriteFile(hosttree.CapturedDate, []byte(c.options.Taken+"\n"))
	} else {
		c.content(hosttree.CapturedDate, c.scrub.text)
	}
	if c.options.KernelLog != nil {
		c.to.WriteFile(hosttree.CapturedKmsg, c.scrub.kernelLog(c.options.KernelLog))
	} else {
		c.content(hosttree.CapturedKmsg, c.scrub.kernelLog)
	}
}

// content copies a text file, changed by change.
func (c *capture) content(name string, change func([]byte) []byte) {
	c.copied(name, func(data []byte) []byte { return plainText(change(data)) })
}

// binary copies a file that is not text, changed by change.
func (c *capture) binary(name string, change func([]byte) []byte) { c.copied(name, change) }

func (c *capture) copied(name string, change func([]byte) []byte) {
	data, err := c.tree.ReadFile(name)
	switch {
	case err == nil:
		c.to.Archive.WriteFile(c.scrub.name(name), change(data))
	case !errors.Is(err, fs.ErrNotExist): // it exists, but cannot be read
		c.to.Deny(c.scrub.name(name))
	}
}

func (c *capture) presence(name string) {
	if _, err := c.tree.ReadDir(name); err == nil {
		c.to.Mkdir(name)
		return
	}
	if _, err := c.tree.ReadFile(name); err == nil || errors.Is(err, fs.ErrPermission) {
		c.to.WriteFile(name, nil)
	}
}

// device records that a device file of VFIO exists. The file is not opened: a group
// has one user at a time, and a VM that starts at that moment would find it in use.
func (c *capture) device(name string) {
	if path.Base(name) == "devices" { // the directory of the iommufd devices
		c.to.Mkdir(name)
		return
	}
	c.to.WriteFile(name, nil)
}

func (c *capture) link(name string) {
	target, err := c.tree.Readlink(name)
	switch {
	case err == nil && strings.Contains(target, "/virtual/net/"): // not hardware, and its name may be personal
	case err == nil:
		c.to.Symlink(c.scrub.name(name), c.scrub.name(target))
	case !errors.Is(err, fs.ErrNotExist): // not a link, or not readable
		c.to.Deny(name)
	}
}

// oddities records how many entries of the device list are not addresses, under
// neutral names.
func (c *capture) oddities() {
	const list = "sys/bus/pci/devices"
	names, _ := c.tree.ReadDir(list)
	odd := 0
	for _, name := range names {
		if _, err := pci.ParseBDF(name); err != nil {
			odd++
			c.to.Mkdir(path.Join(list, fmt.Sprintf("odd-%d", odd)))
		}
	}
}

// usb copies the kind of a USB device, without its product name and serial number.
func (c *capture) usb(name string) {
	target, err := c.tree.Readlink(name)
	if err != nil {
		return
	}
	c.to.Mkdir(path.Join(path.Dir(name), target))
	c.to.Symlink(name, target)
	for _, attribute := range []string{"busnum", "devnum", "idVendor", "idProduct", "bDeviceClass", "bInterfaceClass", "bInterfaceProtocol"} {
		c.content(path.Join(name, attribute), bytes.Clone)
	}
}

// function copies one PCI function.
func (c *capture) function(bdf pci.BDF) {
	dir := path.Join("sys/bus/pci/devices", bdf.String())
	if target, err := c.tree.Readlink(dir); err == nil {
		c.to.Mkdir(path.Join(path.Dir(dir), target))
		c.to.Symlink(dir, target)
	}
	for _, name := range attributes {
		c.content(path.Join(dir, name), func(data []byte) []byte { return data[:min(len(data), attributeSize)] })
	}
	c.binary(path.Join(dir, "config"), func(data []byte) []byte { return data[:min(len(data), configHead)] })
	for _, name := range attributeLinks {
		c.link(path.Join(dir, name))
	}
	for _, name := range attributeDirs {
		c.presence(path.Join(dir, name))
	}
	c.presence(path.Join(dir, "reset"))
	c.each(path.Join(dir, "consumer:pci:*"), c.link)
}

// names keeps the PCI names of the models in this host.
func (c *capture) names(host *hostpci.Host) {
	vendors := map[uint16]string{}
	models := map[uint16][]string{}
	for i := range host.Functions {
		f := &host.Functions[i]
		if f.Name == "" {
			continue
		}
		vendors[f.ID.Vendor] = f.Vendor
		line := fmt.Sprintf("\t%04x  %s\n", f.ID.Device, f.Name)
		if !slices.Contains(models[f.ID.Vendor], line) {
			models[f.ID.Vendor] = append(models[f.ID.Vendor], line)
		}
	}
	var list strings.Builder
	for vendor := range 0x10000 {
		if name := vendors[uint16(vendor)]; name != "" {
			slices.Sort(models[uint16(vendor)])
			fmt.Fprintf(&list, "%04x  %s\n%s", vendor, name, strings.Join(models[uint16(vendor)], ""))
		}
	}
	if list.Len() > 0 {
		c.to.WriteFile("usr/share/misc/pci.ids", []byte(list.String()))
	}
}

// nvidia keeps which device file belongs to which card.
func (c *capture) nvidia() {
	c.each("proc/driver/nvidia/gpus/*", func(dir string) {
		c.content(dir+"/information", func(data []byte) []byte {
			return lines(data, func(line string) bool {
				return strings.HasPrefix(line, "Device Minor") || strings.HasPrefix(line, "Model")
			})
		})
	})
}

// locks keeps how much memory each QEMU may lock, whether it has a card or not.
func (c *capture) locks() {
	names, _ := c.tree.ReadDir("proc")
	for _, pid := range names {
		comm, _ := c.tree.ReadFile(path.Join("proc", pid, "comm"))
		name := strings.TrimSpace(string(comm))
		if strings.Trim(pid, "0123456789") != "" || name != "kvm" && !strings.HasPrefix(name, "qemu") {
			continue
		}
		c.to.WriteFile(path.Join("proc", pid, "comm"), []byte(name+"\n"))
		c.content(path.Join("proc", pid, "limits"), func(data []byte) []byte {
			return lines(data, func(line string) bool { return strings.HasPrefix(line, "Max locked memory") })
		})
	}
}

// lines keeps some lines of a text.
func lines(data []byte, keep func(line string) bool) []byte {
	var kept []byte
	for line := range bytes.Lines(data) {
		if keep(string(line)) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// holders keeps of the processes that hold a card only the name, the VM number and
// the device files.
func (c *capture) holders(host *hostpci.Host) {
	found := hostpci.ReadHolders(c.tree, host)
	if found.Unseen > 0 {
		c.to.Deny("proc/1/fd")
	}
	c.locks()
	number := 0
	for i := range host.Functions {
		for _, holder := range found.Of(host.Functions[i].BDF.Slot) {
			if holder.PID == 0 || !strings.HasPrefix(holder.By, "/dev/") {
				continue
			}
			dir := path.Join("proc", strconv.Itoa(holder.PID))
			c.to.WriteFile(dir+"/comm", []byte(holder.Name+"\n"))
			if holder.VMID != 0 {
				c.to.Archive.WriteFile(dir+"/cmdline", fmt.Appendf(nil, "%s\x00-id\x00%d\x00", plainText([]byte(holder.Name)), holder.VMID))
			}
			c.to.Symlink(fmt.Sprintf("%s/fd/%d", dir, number), holder.By)
			number++
		}
	}
}
