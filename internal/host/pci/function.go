package pci

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Function is one PCI function of the host.
type Function struct {
	pci.Function

	Driver   string `json:"driver"`             // "" when no driver is bound
	Override string `json:"override,omitempty"` // driver_override: the only driver that may bind it

	// Path lists the bridges above it and the function itself:
	// "pci0000:00/0000:00:01.0/0000:01:00.0".
	Path string `json:"path"`
	// Bus reports whether a bus is behind it, as behind a bridge.
	Bus bool `json:"bus,omitempty"`
	// NUMANode is -1 when unknown.
	NUMANode int `json:"numaNode"`
	// BootVGA reports whether the firmware used it for its own screen.
	BootVGA bool `json:"bootVGA,omitempty"`

	BARs  []BAR `json:"bars,omitempty"`
	Link  Link  `json:"link"`
	Power Power `json:"power"`

	// ResetMethods are the kernel's methods to reset it, in the order of their use; empty
	// when there are none, or on kernels before 5.15, which do not list them.
	ResetMethods []string `json:"resetMethods,omitempty"`
	CanReset     bool     `json:"canReset"`

	PhysFn   string    `json:"physfn,omitempty"` // physical function of a virtual one
	VFs      int       `json:"vfs,omitempty"`    // number of virtual functions that are on
	Mediated bool      `json:"mediated,omitempty"`
	Users    []pci.BDF `json:"users,omitempty"` // functions that need this one awake, such as the card's audio

	// Gone reports whether the device reads as 0xff only: it fell off the bus.
	Gone bool `json:"gone,omitempty"`
	// Unreadable holds the attributes that exist but could not be read or parsed, with
	// the reason.
	Unreadable map[string]string `json:"unreadable,omitempty"`
}

// Link is the speed of a function's PCIe link.
type Link struct {
	Speed    string `json:"speed,omitempty"` // "8.0 GT/s PCIe"
	MaxSpeed string `json:"maxSpeed,omitempty"`
	Width    int    `json:"width,omitempty"` // lanes
	MaxWidth int    `json:"maxWidth,omitempty"`
}

// Power is a function's power state and power management.
type Power struct {
	State   string `json:"state,omitempty"`   // "D0", "D3hot", "D3cold", "unknown", "error"
	Control string `json:"control,omitempty"` // "on": never sleeps; "auto"
	D3Cold  bool   `json:"d3cold,omitempty"`  // D3cold, without power, is allowed
}

// IsDisplay reports whether the function is a GPU of any vendor: base class 03.
func (f *Function) IsDisplay() bool { return f.Class>>16 == 0x03 }

// ForVMs reports whether a driver leaves a function to VMs: no driver (""), those of
// VFIO, and pci-stub (drivers/vfio/vfio_main.c).
func ForVMs(driver string) bool { return driver == "" || driver == "pci-stub" || OfVFIO(driver) }

// OfVFIO reports whether a driver is vfio-pci or a vendor's variant of it.
func OfVFIO(driver string) bool {
	return strings.HasSuffix(strings.ReplaceAll(driver, "-", "_"), "vfio_pci")
}

// devices is where the kernel lists all functions.
const devices = "sys/bus/pci/devices"

// maxAttribute is the maximum size of a text attribute of sysfs: one page.
const maxAttribute = 4096

// attributes reads the sysfs attributes of one function.
type attributes struct {
	tree hosttree.Reader
	dir  string
	f    *Function
}

func (a attributes) unreadable(name, why string) {
	if a.f.Unreadable == nil {
		a.f.Unreadable = map[string]string{}
	}
	a.f.Unreadable[name] = why
}

// text returns the content of an attribute; "" when it is missing or unreadable.
func (a attributes) text(name string) string {
	data, err := a.tree.ReadFile(path.Join(a.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		a.unreadable(name, reason(err))
		return ""
	case len(data) > maxAttribute:
		a.unreadable(name, "is larger than an attribute can be")
		return ""
	}
	text := strings.TrimSpace(string(data))
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		a.unreadable(name, "is not text")
		return ""
	}
	return text
}

// reason is the text of an error without the path.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (a attributes) number(name string, fallback int) int {
	text := a.text(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		a.unreadable(name, "is not a number")
		return fallback
	}
	return n
}

func (a attributes) exists(name string) bool {
	if _, err := a.tree.ReadDir(path.Join(a.dir, name)); err == nil {
		return true
	}
	_, err := a.tree.ReadFile(path.Join(a.dir, name))
	return err == nil || errors.Is(err, fs.ErrPermission)
}

// target returns the last element of a link's target; "" without a link.
func (a attributes) target(name string) string {
	target, err := a.tree.Readlink(path.Join(a.dir, name))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.unreadable(name, reason(err))
		}
		return ""
	}
	return path.Base(target)
}

// hexNumber reads "0x10de"; 0 when the attribute is missing or unreadable.
func (a attributes) hexNumber(name string) uint64 {
	text := a.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		a.unreadable(name, "is not a hexadecimal number")
	}
	return n
}

// read reads one function.
func read(tree hosttree.Reader, bdf pci.BDF) Function {
	f := Function{Function: pci.Function{BDF: bdf, Group: pci.NoGroup}, NUMANode: -1}
	a := attributes{tree: tree, dir: path.Join(devices, bdf.String()), f: &f}
	a.identity()
	f.Bus = a.exists("pci_bus")
	f.NUMANode = a.number("numa_node", -1)
	f.BootVGA = a.text("boot_vga") == "1"
	f.BARs = a.bars()
	a.link()
	a.power()
	a.reset()
	a.shares()
	f.Gone = a.gone()
	return f
}

// identity reads the IDs, the place and the driver of a function. None of these
// attributes accesses the device itself.
func (a attributes) identity() {
	f := a.f
	f.Class = pci.Class(a.hexNumber("class"))
	f.ID = pci.ID{Vendor: uint16(a.hexNumber("vendor")), Device: uint16(a.hexNumber("device"))}
	f.SubsystemID = pci.ID{Vendor: uint16(a.hexNumber("subsystem_vendor")), Device: uint16(a.hexNumber("subsystem_device"))}
	f.Driver = a.target("driver")
	if f.Override = a.text("driver_override"); f.Override == "(null)" {
		f.Override = ""
	}
	if group := a.target("iommu_group"); group != "" {
		n, err := strconv.Atoi(group)
		if err != nil || n < 0 {
			a.unreadable("iommu_group", "is not a number")
		} else {
			f.Group = n
		}
	}
	f.Path = a.place()
}

// place returns the path below sys/devices.
func (a attributes) place() string {
	target, err := a.tree.Readlink(a.dir)
	if err != nil {
		return a.f.BDF.String()
	}
	_, below, ok := strings.Cut(target, "devices/")
	if !ok {
		return target
	}
	return below
}

func (a attributes) link() {
	a.f.Link = Link{
		Speed: a.text("current_link_speed"), MaxSpeed: a.text("max_link_speed"),
		Width: a.number("current_link_width", 0), MaxWidth: a.number("max_link_width", 0),
	}
}

func (a attributes) power() {
	a.f.Power = Power{State: a.text("power_state"), Control: a.text("power/control"), D3Cold: a.text("d3cold_allowed") == "1"}
}

func (a attributes) reset() {
	a.f.ResetMethods = strings.Fields(a.text("reset_method"))
	a.f.CanReset = len(a.f.ResetMethods) > 0 || a.exists("reset")
}

// shares reads the relations to other functions: virtual functions, mediated devices,
// and functions that need this one awake.
func (a attributes) shares() {
	a.f.PhysFn = a.target("physfn")
	a.f.VFs = a.number("sriov_numvfs", 0)
	a.f.Mediated = a.exists("mdev_supported_types") || a.exists("nvidia")
	names, err := a.tree.ReadDir(a.dir)
	if err != nil {
		a.unreadable(".", reason(err))
		return
	}
	for _, name := range names {
		if other, ok := strings.CutPrefix(name, "consumer:pci:"); ok {
			if bdf, err := pci.ParseBDF(other); err == nil {
				a.f.Users = append(a.f.Users, bdf)
			}
		}
	}
}

// gone reads the first word of the configuration space, which is 0xffffffff for a
// device that no longer answers.
func (a attributes) gone() bool {
	data, err := a.tree.ReadFile(path.Join(a.dir, "config"))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.unreadable("config", reason(err))
		}
		return false
	}
	return len(data) >= 4 && slices.Equal(data[:4], []byte{0xff, 0xff, 0xff, 0xff})
}
