package memory

import (
	"testing"

	"github.com/gpuworker/gpuworker/internal/backendtest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

const gib = 1 << 30

// host is a host with one Tesla T4.
func host(name string) inventory.Host {
	t4 := pci.Function{
		BDF: pci.MustBDF("0000:03:00.0"), ID: pci.MustID("10de:1eb8"), Class: 0x030200, Group: pci.NoGroup,
		Vendor: "NVIDIA Corporation", Name: "TU104GL [Tesla T4]",
	}
	return inventory.Host{
		Name: name, Online: true, CPUs: 32, MemoryTotal: 128 * gib, MemoryUsed: 8 * gib, IOMMU: inventory.Unknown,
		Devices: pci.Devices([]pci.Function{t4}),
		Bridges: []inventory.Bridge{{Name: "lan"}},
		Storages: []inventory.Storage{
			{Name: "store", Type: "shared", Content: []string{"images"}, Shared: true, Active: true, Total: 1000 * gib, Free: 900 * gib},
		},
	}
}

var ubuntu = inventory.Machine{
	Cores: 2, MemoryMiB: 2048, CPU: "host", Type: inventory.TypeQ35, Firmware: inventory.FirmwareUEFI,
	DiskMiB: 10 << 10, Storage: "store", NICs: []inventory.NIC{{Network: "lan", MAC: "02:00:00:00:00:01"}},
}

// lab is a Cluster for the conformance suite.
type lab struct {
	*Cluster
	setting backendtest.Setting
}

func newLab(*testing.T) backendtest.Lab {
	w := NewCluster(1, host("alpha"), host("beta"))
	machine := ubuntu
	machine.Cores, machine.MemoryMiB, machine.DiskMiB, machine.Agent = 4, 4096, 20<<10, true
	machine.Storage, machine.NICs = "", []inventory.NIC{{Network: "lan", Address: "dhcp"}, {Network: "storage", VLAN: 30, MAC: "02:00:00:00:00:77", Address: "192.0.2.21/24"}}
	return &lab{w, backendtest.Setting{
		Host: "alpha", Card: pci.MustCardRef("alpha/0000:03:00.0"), Storage: "store", Machine: machine,
		Template: inventory.VMRef{ID: w.AddTemplate("ubuntu-22.04", ubuntu), Name: "ubuntu-22.04"},
	}}
}

func (l *lab) Setting() backendtest.Setting { return l.setting }

func (l *lab) Open(wire *backendtest.Wire) hypervisor.Backend {
	return l.Cluster.Open("lab", wire.Carry, nil)
}

func TestConformance(t *testing.T) { backendtest.Run(t, thorough.Every, newLab) }
