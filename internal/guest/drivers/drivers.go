// Package drivers says what gpuworker-guest must know about NVIDIA's drivers: the names
// of packages, and which kernel modules work with a GPU.
package drivers

import (
	"errors"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Query is what the names of packages depend on.
type Query struct {
	OS     string // "ubuntu 24.04"
	Kernel string // the running one, as uname -r
	Order  driver.Order
}

// Flavours are the kernel modules that work with a GPU.
type Flavours struct{ Open, Proprietary bool }

// Source knows the drivers.
type Source struct {
	// Packages returns the packages of the driver for the running kernel. An error says
	// why there are none.
	Packages func(Query) ([]string, error)
	// Toolkit returns the packages of the container toolkit.
	Toolkit func(Query) ([]string, error)
	// Flavours returns what works with a GPU; ok is false for an unknown GPU.
	Flavours func(pci.ID) (f Flavours, ok bool)
	// SXM reports whether a GPU is one of a board with NVSwitches.
	SXM func(pci.ID) bool
}

// errNotUbuntu is the answer of the small table below.
var errNotUbuntu = errors.New("gpuworker-guest has package names for Ubuntu only: use the strategy Preinstalled or Ansible")
