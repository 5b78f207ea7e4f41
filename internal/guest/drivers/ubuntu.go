package drivers

import (
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Ubuntu is a small table for Ubuntu. Package driver is to have the full one.
var Ubuntu = Source{Packages: ubuntuPackages, Toolkit: ubuntuToolkit, Flavours: flavoursOf, SXM: isSXM}

// ubuntuPackages are the pre-built, signed modules for exactly the running kernel, and the
// user space without a display (Ubuntu Server documentation, NVIDIA drivers installation).
func ubuntuPackages(q Query) ([]string, error) {
	if !strings.HasPrefix(q.OS, "ubuntu ") {
		return nil, errNotUbuntu
	}
	branch := q.Order.Branch + "-server"
	flavour := branch
	if q.Order.Open {
		flavour += "-open"
	}
	return []string{
		"linux-modules-nvidia-" + flavour + "-" + q.Kernel,
		"nvidia-headless-no-dkms-" + flavour,
		"nvidia-utils-" + branch,
		"nvidia-modprobe",
	}, nil
}

func ubuntuToolkit(q Query) ([]string, error) {
	if !strings.HasPrefix(q.OS, "ubuntu ") {
		return nil, errNotUbuntu
	}
	return []string{"nvidia-container-toolkit"}, nil
}

var (
	both        = Flavours{Open: true, Proprietary: true}
	proprietary = Flavours{Proprietary: true}
	open        = Flavours{Open: true}
)

// flavours are a few GPUs of each generation, by device ID (pci.ids; NVIDIA driver
// README, Open Linux Kernel Modules).
var flavours = map[uint16]Flavours{
	0x1db4: proprietary, 0x15f8: proprietary, 0x1b38: proprietary, // Volta, Pascal
	0x1eb8: both,                                           // Turing
	0x2236: both, 0x2235: both, 0x20b7: both, 0x20b2: both, // Ampere
	0x27b8: both, 0x26b9: both, // Ada
	0x2331: both, 0x2330: both, 0x2335: both, // Hopper
	0x2bb5: open, 0x2901: open, 0x3182: open, // Blackwell
}

func flavoursOf(id pci.ID) (f Flavours, ok bool) {
	f, ok = flavours[id.Device]
	return f, ok && id.Vendor == pci.VendorNVIDIA
}

// sxm are the GPUs of boards with NVSwitches: A100, H100, H200, B200, B300.
var sxm = map[uint16]bool{0x20b0: true, 0x20b2: true, 0x2330: true, 0x2335: true, 0x2901: true, 0x3182: true}

func isSXM(id pci.ID) bool { return id.Vendor == pci.VendorNVIDIA && sxm[id.Device] }
