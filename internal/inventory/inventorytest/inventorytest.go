// Package inventorytest builds observed worlds for tests, so that a test reads
// like the sentence that it proves:
//
//	Observed(
//		Host("pve1", T4("03:00"), RTX3090("41:00").Group(27)),
//		Template(9000, "ubuntu-22.04", "pve1"),
//		VM(204, "vdi-7", "pve1").Card("03:00").Running(),
//	)
package inventorytest

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// GiB is the unit of the builders.
const GiB = 1 << 30

// Part is a part of a world.
type Part interface{ addTo(s *inventory.Snapshot) }

// Observed puts the parts together, sorted as backends deliver them.
func Observed(parts ...Part) *inventory.Snapshot {
	s := &inventory.Snapshot{
		Hypervisor: "lab", Product: "Proxmox VE", Version: "9.1.4", Supported: true,
		Capabilities: inventory.Capabilities{DefaultNetwork: "vmbr0"},
	}
	for _, part := range parts {
		part.addTo(s)
	}
	Range(s, 9100, 9199)
	slices.SortFunc(s.VMs, func(a, b inventory.VM) int { return inventory.CompareIDs(a.ID, b.ID) })
	return s
}

// Range sets the identifiers that new VMs may have.
func Range(s *inventory.Snapshot, first, last int) {
	within := func(id string) bool {
		n, err := strconv.Atoi(id)
		return err == nil && first <= n && n <= last
	}
	used := map[string]bool{}
	for i := range s.VMs {
		s.VMs[i].FromRange = within(s.VMs[i].ID)
		used[s.VMs[i].ID] = true
	}
	for i := range s.Claims {
		s.Claims[i].FromRange = within(s.Claims[i].Record.VM)
		used[s.Claims[i].Record.VM] = true
	}
	s.FreeIDs, s.IDRange = nil, fmt.Sprintf("%d to %d", first, last)
	for n := first; n <= last; n++ {
		if id := strconv.Itoa(n); !used[id] {
			s.FreeIDs = append(s.FreeIDs, id)
		}
	}
}

// HostBuilder makes a host.
type HostBuilder struct{ host inventory.Host }

// Host is an online host with 32 CPUs, 128 GiB of memory of which 40 are in
// use, an IOMMU, the bridges vmbr0 and vmbr1 (VLAN aware), and local-lvm with
// 500 GiB free.
func Host(name string, cards ...*CardBuilder) *HostBuilder {
	b := &HostBuilder{inventory.Host{
		Name: name, Online: true, CPUs: 32, MemoryTotal: 128 * GiB, MemoryUsed: 40 * GiB, IOMMU: inventory.On,
		Bridges: []inventory.Bridge{{Name: "vmbr0"}, {Name: "vmbr1", VLANAware: true}},
	}}
	var functions []pci.Function
	for _, card := range cards {
		functions = append(functions, card.functions...)
	}
	functions = append(functions, function("00:01.0", "8086:1901", 0x060400, "Intel", "PCIe Root Port").functions...)
	b.host.Devices = pci.Devices(functions)
	return b.Storage("local-lvm", 500)
}

// Memory sets the host's memory in GiB.
func (b *HostBuilder) Memory(total, used int64) *HostBuilder {
	b.host.MemoryTotal, b.host.MemoryUsed = total*GiB, used*GiB
	return b
}

// CPUs sets the number of CPUs.
func (b *HostBuilder) CPUs(n int) *HostBuilder { b.host.CPUs = n; return b }

// Offline makes the host offline: only its name is known.
func (b *HostBuilder) Offline() *HostBuilder {
	b.host = inventory.Host{Name: b.host.Name, IOMMU: inventory.Unknown}
	return b
}

// Blind makes a part of the host unreadable.
func (b *HostBuilder) Blind(what, why string) *HostBuilder {
	b.host.Gaps = append(b.host.Gaps, inventory.Gap{What: what, Why: why})
	switch what {
	case "PCI devices":
		b.host.Devices, b.host.IOMMU = nil, inventory.Unknown
	case "storages":
		b.host.Storages = nil
	case "networks":
		b.host.Bridges = nil
	case "status":
		b.host.CPUs, b.host.MemoryTotal, b.host.MemoryUsed = 0, 0, 0
	}
	return b
}

// NoIOMMU turns the IOMMU off: no function is in a group.
func (b *HostBuilder) NoIOMMU() *HostBuilder {
	b.host.IOMMU = inventory.Off
	for i := range b.host.Devices {
		for j := range b.host.Devices[i].Functions {
			b.host.Devices[i].Functions[j].Group = pci.NoGroup
		}
	}
	return b
}

// Storage adds or changes local storage for images, with this many GiB free.
func (b *HostBuilder) Storage(name string, free int64) *HostBuilder {
	b.host.Storages = slices.DeleteFunc(b.host.Storages, func(s inventory.Storage) bool { return s.Name == name })
	b.host.Storages = append(b.host.Storages, inventory.Storage{
		Name: name, Type: "lvmthin", Content: []string{"images"}, Active: true, Total: 1000 * GiB, Free: free * GiB,
	})
	return b
}

// Shared adds shared storage for images.
func (b *HostBuilder) Shared(name string, free int64) *HostBuilder {
	b.Storage(name, free)
	last := &b.host.Storages[len(b.host.Storages)-1]
	last.Shared, last.Type = true, "rbd"
	return b
}

// Change changes anything else.
func (b *HostBuilder) Change(change func(*inventory.Host)) *HostBuilder { change(&b.host); return b }

func (b *HostBuilder) addTo(s *inventory.Snapshot) {
	s.Hosts = append(s.Hosts, b.host)
	slices.SortFunc(s.Hosts, func(x, y inventory.Host) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
}

// CardBuilder makes a PCI device.
type CardBuilder struct{ functions []pci.Function }

func function(bdf, id string, class pci.Class, vendor, name string) *CardBuilder {
	f := pci.Function{BDF: pci.MustBDF(bdf), ID: pci.MustID(id), Class: class, Vendor: vendor, Name: name}
	f.Group = int(f.BDF.Slot.Bus)*4 + int(f.BDF.Slot.Device)
	return &CardBuilder{[]pci.Function{f}}
}

// T4 is a Tesla T4 at the slot, alone in its IOMMU group.
func T4(slot string) *CardBuilder {
	return function(slot+".0", "10de:1eb8", 0x030200, "NVIDIA Corporation", "TU104GL [Tesla T4]")
}

// RTX3090 is a GeForce RTX 3090 with its audio function.
func RTX3090(slot string) *CardBuilder {
	b := function(slot+".0", "10de:2204", 0x030000, "NVIDIA Corporation", "GA102 [GeForce RTX 3090]")
	audio := function(slot+".1", "10de:1aef", 0x040300, "NVIDIA Corporation", "GA102 High Definition Audio Controller")
	b.functions = append(b.functions, audio.functions...)
	return b
}

// NIC is a network controller.
func NIC(slot string) *CardBuilder {
	return function(slot+".0", "8086:1521", 0x020000, "Intel Corporation", "I350 Gigabit Network Connection")
}

// Bridge is a PCI bridge.
func Bridge(slot string) *CardBuilder {
	return function(slot+".0", "1022:1483", 0x060400, "Advanced Micro Devices", "Starship/Matisse GPP Bridge")
}

// Group puts the whole device into an IOMMU group.
func (b *CardBuilder) Group(n int) *CardBuilder {
	for i := range b.functions {
		b.functions[i].Group = n
	}
	return b
}

// VMBuilder makes a VM.
type VMBuilder struct{ vm inventory.VM }

// VM is a stopped foreign VM.
func VM(vmid int, name, host string) *VMBuilder {
	machine := inventory.Machine{Cores: 2, MemoryMiB: 2048, CPU: "host", Type: inventory.TypeQ35, Firmware: inventory.FirmwareBIOS,
		DiskMiB: 10240, Storage: "local-lvm", NICs: []inventory.NIC{{Network: "vmbr0"}}}
	return &VMBuilder{inventory.VM{
		ID: strconv.Itoa(vmid), Name: name, Host: host, UUID: UUID(vmid), Machine: machine, Applied: machine,
		BootDisk: fmt.Sprintf("local-lvm:vm-%d-disk-0", vmid),
	}}
}

// Template is a template with a disk of 10 GiB on local-lvm and a cloud-init drive.
func Template(vmid int, name, host string) *VMBuilder {
	b := VM(vmid, name, host)
	b.vm.Template, b.vm.CloudInit = true, true
	b.vm.BootDisk = fmt.Sprintf("local-lvm:base-%d-disk-0", vmid)
	return b
}

// InFlight is a running clone: without a name, and locked.
func InFlight(vmid int, host string) *VMBuilder {
	return &VMBuilder{inventory.VM{ID: strconv.Itoa(vmid), Host: host, State: inventory.Cloning}}
}

// UUID is the SMBIOS UUID that the builders give to a VM.
func UUID(vmid int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", vmid) }

// Ours marks the VM as a worker: tag, record and UUID match.
func (b *VMBuilder) Ours(pool, kubeCluster, lifecycle string) *VMBuilder {
	b.Unmarked(pool, kubeCluster, lifecycle)
	b.vm.Tags = append(b.vm.Tags, inventory.OwnerTag)
	return b
}

// Unmarked gives the VM the record of a worker, but not the tag.
func (b *VMBuilder) Unmarked(pool, kubeCluster, lifecycle string) *VMBuilder {
	b.vm.Record = &inventory.Record{
		WorkerKey: inventory.WorkerKey{Worker: b.vm.Name, Pool: pool, KubeCluster: kubeCluster}, Lifecycle: lifecycle,
		VM: b.vm.ID, UUID: b.vm.UUID, Host: b.vm.Host, Template: "ubuntu-22.04", By: "ops@desk",
	}
	return b
}

// Record changes the record.
func (b *VMBuilder) Record(change func(*inventory.Record)) *VMBuilder { change(b.vm.Record); return b }

// Card attaches the card of the slot, with the default options.
func (b *VMBuilder) Card(slot string) *VMBuilder {
	ref := CardRef(b.vm.Host, slot)
	b.vm.Cards = append(b.vm.Cards, inventory.Attachment{Key: fmt.Sprintf("hostpci%d", len(b.vm.Cards)), Cards: []pci.CardRef{ref}})
	card := inventory.Card{Ref: ref, PCIe: true, ROMBar: true}
	b.vm.Machine.Card, b.vm.Applied.Card = &card, &card
	return b.For(slot)
}

// For sets the card in the VM's record without attaching it.
func (b *VMBuilder) For(slot string) *VMBuilder {
	if b.vm.Record != nil {
		b.vm.Record.Card = CardRef(b.vm.Host, slot)
	}
	return b
}

// Running starts the VM.
func (b *VMBuilder) Running() *VMBuilder { b.vm.Running = true; return b }

// Parked stops the VM on purpose.
func (b *VMBuilder) Parked() *VMBuilder {
	b.vm.Running, b.vm.Tags = false, append(b.vm.Tags, inventory.ParkedTag)
	return b
}

// Lock locks the VM.
func (b *VMBuilder) Lock(lock string) *VMBuilder {
	b.vm.State, b.vm.Locked = inventory.Locked, lock
	return b
}

// Stuck makes the VM a clone whose task is gone.
func (b *VMBuilder) Stuck() *VMBuilder { b.vm.State = inventory.CloneDead; return b }

// Unreadable hides the configuration.
func (b *VMBuilder) Unreadable(why string) *VMBuilder {
	b.vm = inventory.VM{ID: b.vm.ID, Name: b.vm.Name, Host: b.vm.Host, Running: b.vm.Running, Template: b.vm.Template, Unreadable: why}
	return b
}

// Tags adds tags.
func (b *VMBuilder) Tags(tags ...string) *VMBuilder { b.vm.Tags = append(b.vm.Tags, tags...); return b }

// On moves the boot disk to a storage.
func (b *VMBuilder) On(storage string) *VMBuilder {
	b.vm.BootDisk = storage + ":base-disk"
	b.vm.Machine.Storage, b.vm.Applied.Storage = storage, storage
	return b
}

// Machine changes the running and the pending configuration.
func (b *VMBuilder) Machine(change func(*inventory.Machine)) *VMBuilder {
	change(&b.vm.Machine)
	b.vm.Applied = b.vm.Machine
	return b
}

// Change changes anything else.
func (b *VMBuilder) Change(change func(*inventory.VM)) *VMBuilder { change(&b.vm); return b }

func (b *VMBuilder) addTo(s *inventory.Snapshot) { s.VMs = append(s.VMs, b.vm) }

// ClaimBuilder makes a claim.
type ClaimBuilder struct{ claim inventory.Claim }

// Claim reserves a card for a worker.
func Claim(host, slot, worker, pool, kubeCluster string, vmid int) *ClaimBuilder {
	card := CardRef(host, slot)
	return &ClaimBuilder{inventory.Claim{
		Card: card, Register: "gpu-" + host + "-" + slot,
		Record: inventory.Record{
			WorkerKey: inventory.WorkerKey{Worker: worker, Pool: pool, KubeCluster: kubeCluster}, Lifecycle: "SemiPersistent",
			VM: strconv.Itoa(vmid), UUID: UUID(vmid), Host: host, Card: card, Template: "ubuntu-22.04", By: "ops@desk",
		},
	}}
}

// Newest gives the claim's record the present version; the default is an older one.
func (b *ClaimBuilder) Newest() *ClaimBuilder {
	b.claim.Record.Version = inventory.RecordVersion
	return b
}

// Stale makes the register differ from the hardware.
func (b *ClaimBuilder) Stale(why string) *ClaimBuilder { b.claim.Stale = why; return b }

// Releasing makes the claim one that is being released.
func (b *ClaimBuilder) Releasing() *ClaimBuilder { b.claim.Releasing = true; return b }

// Problem makes the claim's record unusable.
func (b *ClaimBuilder) Problem(why string) *ClaimBuilder { b.claim.Problem = why; return b }

// Change changes anything else.
func (b *ClaimBuilder) Change(change func(*inventory.Claim)) *ClaimBuilder {
	change(&b.claim)
	return b
}

func (b *ClaimBuilder) addTo(s *inventory.Snapshot) { s.Claims = append(s.Claims, b.claim) }

// CardRef makes a CardRef; the address may have a function.
func CardRef(host, address string) pci.CardRef {
	ref, err := pci.ParseCardRef(host + "/" + address)
	if err != nil {
		panic(err)
	}
	return ref
}
