package pvesim

import (
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// TakeHardware gives the host the PCI devices of a Linux host, from a tree that
// `gpuworker-host capture` wrote. The IOMMU is on or off as in the tree.
func (h *Host) TakeHardware(tree hosttree.Reader) error {
	found, err := hostpci.Read(tree)
	if err != nil {
		return err
	}
	h.PCI, h.NoIOMMU = nil, len(found.IOMMUs) == 0
	for _, f := range found.Functions {
		function := PCIFunction{
			Address: f.BDF.String(), Class: f.Class.String(), ID: f.ID.String(), Vendor: f.Vendor, Name: f.Name, Group: f.Group, Driver: f.Driver,
		}
		if !f.SubsystemID.IsZero() {
			function.Subsystem = f.SubsystemID.String()
		}
		if f.Group == pci.NoGroup {
			function.Group = -1
		}
		h.PCI = append(h.PCI, function)
	}
	return nil
}
