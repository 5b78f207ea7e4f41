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

// Function is one PCI function as the host shows it.
type Function struct {
	pci.Function

	Driver   string `json:"driver"`             // "" when no driver holds it
	Override string `json:"override,omitempty"` // the only driver that may bind it, driver_override

	// Path is where it is plugged in, the bridges above it first:
	// "pci0000:00/0000:00:01.0/0000:01:00.0".
	Path string `json:"path"`
	// Bus reports whether a bus is behind it: a bridge.
	Bus bool `json:"bus,omitempty"`
	// NUMANode is -1 when the firmware does not tell.
	NUMANode int `json:"numaNode"`
	// BootVGA reports whether the firmware used it for its own screen.
	BootVGA bool `json:"bootVGA,omitempty"`

	BARs  []BAR `json:"bars,omitempty"`
	Link  Link  `json:"link"`
	Power Power `json:"power"`

	// ResetMethods are how the kernel would reset it, the first one first; empty
	// when it cannot, or on kernels before 5.15, which do not tell.
	ResetMethods []string `json:"resetMethods,omitempty"`
	CanReset     bool     `json:"canReset"`

	PhysFn   string    `json:"physfn,omitempty"` // a virtual function's physical one
	VFs      int       `json:"vfs,omitempty"`    // virtual functions that it has now
	Mediated bool      `json:"mediated,omitempty"`
	Users    []pci.BDF `json:"users,omitempty"` // functions that need this one awake, as a card's sound does

	// Gone reports whether the device answers with ones only: it fell off the bus.
	Gone bool `json:"gone,omitempty"`
	// Unreadable are attributes that are there and could not be read, or made no
	// sense, with the reason.
	Unreadable map[string]string `json:"unreadable,omitempty"`
}

// Link is the speed of a function's PCIe link.
type Link struct {
	Speed    string `json:"speed,omitempty"` // "8.0 GT/s PCIe"
	MaxSpeed string `json:"maxSpeed,omitempty"`
	Width    int    `json:"width,omitempty"` // lanes
	MaxWidth int    `json:"maxWidth,omitempty"`
}

// Power is a function's power state and what it may do about it.
type Power struct {
	State   string `json:"state,omitempty"`   // "D0", "D3hot", "D3cold", "unknown", "error"
	Control string `json:"control,omitempty"` // "on": never asleep, "auto"
	D3Cold  bool   `json:"d3cold,omitempty"`  // it may be cut from power
}

// IsDisplay tells GPUs of any make: base class 03.
func (f *Function) IsDisplay() bool { return f.Class>>16 == 0x03 }

// ForVMs tells drivers that leave a function to VMs: none (""), those of VFIO, and
// pci-stub (drivers/vfio/vfio_main.c).
func ForVMs(driver string) bool { return driver == "" || driver == "pci-stub" || OfVFIO(driver) }

// OfVFIO tells vfio-pci and its relatives for single makes.
func OfVFIO(driver string) bool {
	return strings.HasSuffix(strings.ReplaceAll(driver, "-", "_"), "vfio_pci")
}

// devices is where the kernel lists all functions.
const devices = "sys/bus/pci/devices"

// maxAttribute is the size of a page, which no text attribute of sysfs exceeds.
const maxAttribute = 4096

// attributes reads what the files of one function say.
type attributes struct {
	tree hosttree.Reader
	dir  string
	f    *Function
}

func (a attributes) odd(name, why string) {
	if a.f.Unreadable == nil {
		a.f.Unreadable = map[string]string{}
	}
	a.f.Unreadable[name] = why
}

// text is the content of an attribute; "" when it is not there or odd.
func (a attributes) text(name string) string {
	data, err := a.tree.ReadFile(path.Join(a.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		a.odd(name, reason(err))
		return ""
	case len(data) > maxAttribute:
		a.odd(name, "is larger than an attribute can be")
		return ""
	}
	text := strings.TrimSpace(string(data))
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		a.odd(name, "is no text")
		return ""
	}
	return text
}

// reason is what an error says, without the path.
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
		a.odd(name, "is no number")
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

// target is the last element of where a link leads; "" without one.
func (a attributes) target(name string) string {
	target, err := a.tree.Readlink(path.Join(a.dir, name))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.odd(name, reason(err))
		}
		return ""
	}
	return path.Base(target)
}

// hexNumber reads "0x10de"; 0 when it is not there or odd.
func (a attributes) hexNumber(name string) uint64 {
	text := a.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		a.odd(name, "is no hexadecimal number")
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

// identity reads what a function is, where it is and who has it. Nothing of that
// asks the device itself.
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
			a.odd("iommu_group", "is no number")
		} else {
			f.Group = n
		}
	}
	f.Path = a.place()
}

// place is the path below sys/devices.
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

// shares reads what a function has to do with others: virtual functions,
// mediated devices, and functions that need it awake.
func (a attributes) shares() {
	a.f.PhysFn = a.target("physfn")
	a.f.VFs = a.number("sriov_numvfs", 0)
	a.f.Mediated = a.exists("mdev_supported_types") || a.exists("nvidia")
	names, err := a.tree.ReadDir(a.dir)
	if err != nil {
		a.odd(".", reason(err))
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

// gone reads the first word of the configuration space: ones only come from a
// device that no longer answers.
func (a attributes) gone() bool {
	data, err := a.tree.ReadFile(path.Join(a.dir, "config"))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.odd("config", reason(err))
		}
		return false
	}
	return len(data) >= 4 && slices.Equal(data[:4], []byte{0xff, 0xff, 0xff, 0xff})
}
