package pci

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// VendorNVIDIA is the PCI vendor of NVIDIA, whose cards become GPU workers.
const VendorNVIDIA = 0x10de

// ID is vendor and device of a function: "10de:1eb8".
type ID struct {
	Vendor uint16
	Device uint16
}

var idForm = regexp.MustCompile(`^(?:0x)?([0-9a-f]{4}):(?:0x)?([0-9a-f]{4})$`)

// ParseID reads "10de:1eb8", in any case, with or without 0x.
func ParseID(text string) (ID, error) {
	match := idForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if match == nil {
		return ID{}, fmt.Errorf("%q is not a vendor:device ID; write it as two groups of four hexadecimal digits, for example %q", text, "10de:1eb8")
	}
	vendor, _ := strconv.ParseUint(match[1], 16, 16)
	device, _ := strconv.ParseUint(match[2], 16, 16)
	return ID{Vendor: uint16(vendor), Device: uint16(device)}, nil
}

// MustID is ParseID for constants; it panics on bad text.
func MustID(text string) ID {
	id, err := ParseID(text)
	if err != nil {
		panic(err)
	}
	return id
}

// String writes the ID as lspci -n does.
func (id ID) String() string { return fmt.Sprintf("%04x:%04x", id.Vendor, id.Device) }

// IsZero reports whether the ID is not known.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes the ID for JSON and YAML.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the output of MarshalText.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Class is the 24-bit PCI class code: base class, subclass, programming
// interface. Source: PCI Code and ID Assignment Specification.
type Class uint32

// ParseClass reads "0x030200" as sysfs and Proxmox write it.
func ParseClass(text string) (Class, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "0x"), 16, 24)
	if err != nil {
		return 0, fmt.Errorf("%q is not a PCI class code; it looks like %q", text, "0x030200")
	}
	return Class(n), nil
}

// String writes the class as sysfs does.
func (c Class) String() string { return fmt.Sprintf("0x%06x", uint32(c)) }

// Code returns base class and subclass, as lspci -n prints them: 0x0302.
func (c Class) Code() uint16 { return uint16(c >> 8) }

// IsDisplay reports whether it is a VGA (0300) or 3D (0302) controller, a GPU's main
// function.
func (c Class) IsDisplay() bool { return c.Code() == 0x0300 || c.Code() == 0x0302 }

// IsBridge reports whether it is a PCI bridge (base class 06). A bridge may share an IOMMU
// group with the devices behind it and is never bound to vfio-pci.
func (c Class) IsBridge() bool { return c>>16 == 0x06 }

// Noun names the class in a few words.
func (c Class) Noun() string {
	switch c.Code() {
	case 0x0300:
		return "VGA controller"
	case 0x0302:
		return "3D controller"
	case 0x0403:
		return "audio device"
	case 0x0200:
		return "network controller"
	case 0x0c03:
		return "USB controller"
	case 0x0108:
		return "NVMe drive"
	case 0x0106:
		return "SATA controller"
	case 0x0604:
		return "PCI bridge"
	}
	switch c >> 16 {
	case 0x01:
		return "storage controller"
	case 0x02:
		return "network controller"
	case 0x03:
		return "display controller"
	case 0x06:
		return "bridge"
	}
	return "device of class " + fmt.Sprintf("%04x", c.Code())
}

// NoGroup is the IOMMU group of a function on a host with its IOMMU off, as Proxmox
// reports it.
const NoGroup = -1

// Function is one PCI function.
type Function struct {
	BDF    BDF    `json:"bdf"`
	ID     ID     `json:"id"`
	Class  Class  `json:"class"`
	Vendor string `json:"vendor,omitempty"` // name, from pci.ids
	Name   string `json:"name,omitempty"`   // name of the device, from pci.ids

	SubsystemID ID `json:"subsystemID"`

	// Group is the IOMMU group, NoGroup when the IOMMU is off.
	Group int `json:"group"`
}

// Device is a card: all functions of one slot, in the order of their numbers.
type Device struct {
	Slot      Slot       `json:"slot"`
	Functions []Function `json:"functions"`
}

// Devices groups functions by slot, in the order of their addresses.
func Devices(functions []Function) []Device {
	sorted := slices.SortedFunc(slices.Values(functions), func(a, b Function) int { return a.BDF.Compare(b.BDF) })
	var devices []Device
	for _, f := range sorted {
		if n := len(devices); n > 0 && devices[n-1].Slot == f.BDF.Slot {
			devices[n-1].Functions = append(devices[n-1].Functions, f)
			continue
		}
		devices = append(devices, Device{Slot: f.BDF.Slot, Functions: []Function{f}})
	}
	return devices
}

// GPU returns the function that makes the device an NVIDIA GPU: the first of
// class 0300 or 0302 with vendor 10de. ok is false for any other device.
func (d Device) GPU() (function Function, ok bool) {
	for _, f := range d.Functions {
		if f.ID.Vendor == VendorNVIDIA && f.Class.IsDisplay() {
			return f, true
		}
	}
	return Function{}, false
}

// Address returns the address by which a card is called: that of its GPU, or else of its
// first function.
func (d Device) Address() BDF {
	if gpu, ok := d.GPU(); ok {
		return gpu.BDF
	}
	return d.Slot.At(0)
}

// ShortName returns the usual name of a device: the part of the pci.ids name in brackets
// ("Tesla T4" in "TU104GL [Tesla T4]"), or else the whole name, or else the ID.
func (f Function) ShortName() string {
	if open, end := strings.Index(f.Name, "["), strings.LastIndex(f.Name, "]"); open >= 0 && end > open {
		return f.Name[open+1 : end]
	}
	if f.Name != "" {
		return f.Name
	}
	return f.ID.String()
}

// IsModel compares a model, ignoring case, with the short name of the function and its
// whole name in pci.ids, each with or without vendor and family in front. "RTX 3090"
// matches "GeForce RTX 3090", but not "GeForce RTX 3090 Ti".
func (f Function) IsModel(model string) bool {
	model = strings.ToLower(strings.Join(strings.Fields(model), " "))
	if model == "" {
		return false
	}
	for _, name := range []string{f.ShortName(), f.Name, f.ID.String()} {
		name = strings.ToLower("NVIDIA " + name)
		if name == model || strings.HasSuffix(name, " "+model) {
			return true
		}
	}
	return strings.ToLower(f.Vendor+" "+f.ShortName()) == model || strings.ToLower(f.Vendor+" "+f.Name) == model
}
