package inventory

import (
	"sync/atomic"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Snapshot is one hypervisor at one moment.
type Snapshot struct {
	Hypervisor string  `json:"hypervisor"`        // name of the document
	Product    string  `json:"product"`           // "Proxmox VE"
	Version    string  `json:"version"`           // "9.1.4"
	Supported  bool    `json:"supported"`         // the version is one that we know
	Missing    []Right `json:"missing,omitempty"` // privileges that the login lacks

	// Frozen says why nothing can be changed at present; nil when it can.
	Frozen       *Frozen      `json:"frozen,omitempty"`
	Capabilities Capabilities `json:"capabilities"`
	// FreeIDs are identifiers for new VMs, in the order in which they are to be
	// used; empty when there is none left, or when the hypervisor chooses them.
	FreeIDs []string `json:"freeIDs,omitempty"`
	// IDRange says which identifiers new VMs may have, "9100 to 9199".
	IDRange string `json:"idRange,omitempty"`
	// Advice says what a person does in the hypervisor's own words.
	Advice Advice `json:"-"`

	// Setup are findings about how the hypervisor is reached and what new VMs may be
	// called. They decide nothing.
	Setup []finding.Finding `json:"setup,omitempty"`

	// MissingPool is the resource pool that new VMs are to go into and that does
	// not exist; "" when it does, when none is wanted, or when it cannot be seen.
	MissingPool string `json:"missingPool,omitempty"`

	Hosts  []Host  `json:"hosts"`  // by name
	VMs    []VM    `json:"vms"`    // by identifier; templates too
	Claims []Claim `json:"claims"` // by host and slot

	index atomic.Pointer[index]
}

// Frozen is a hypervisor that shows everything and takes no changes, such as a
// cluster without quorum.
type Frozen struct {
	Why string `json:"why"`
	Fix string `json:"fix"`
}

// Right is a privilege that the login lacks, what it is for, and what cannot be
// done without it.
type Right struct {
	Privilege string `json:"privilege"`
	Path      string `json:"path"`
	For       string `json:"for"`
	Stops     Stops  `json:"stops,omitempty"`
}

// Stops is what a missing privilege stops.
type Stops string

// What can be stopped.
const (
	StopsNothing Stops = ""            // something is not seen, everything works
	StopsCards   Stops = "GPU workers" // workers with a card cannot be made
	StopsAll     Stops = "workers"     // no worker can be made
)

// State is something that may not be known.
type State string

// The states.
const (
	On      State = "on"
	Off     State = "off"
	Unknown State = "unknown"
)

// Host is a machine that runs VMs.
type Host struct {
	Name   string `json:"name"`
	Online bool   `json:"online"`
	CPUs   int    `json:"cpus"`
	Uptime int64  `json:"uptime,omitempty"` // seconds since it was started; 0 when not known

	MemoryTotal int64 `json:"memoryTotal"` // bytes
	MemoryUsed  int64 `json:"memoryUsed"`  // bytes

	IOMMU   State        `json:"iommu"`
	Devices []pci.Device `json:"devices"` // all of them, bridges too

	Bridges  []Bridge  `json:"bridges"`
	Storages []Storage `json:"storages"`

	// Skipped reports whether the host was not read, because the request does not concern it.
	Skipped bool `json:"passed,omitempty"`
	// Gaps are the things that could not be seen, with the reason.
	Gaps []Gap `json:"gaps,omitempty"`

	// Facts are what the host says of itself; nil when nobody asked it.
	Facts *Facts `json:"facts,omitempty"`
}

// Facts are what a host says of itself that its hypervisor's API does not show:
// firmware, kernel, drivers, resets. gpuworker-host tells.
type Facts struct {
	From string `json:"from"` // "facts/pve1.json", "ssh root@pve1"
	// Missing says why there are none after all; the rest is then empty.
	Missing string `json:"missing,omitempty"`
	// Old says why they are ignored: they were made too long ago,
	// before the host was started, or nobody knows when.
	Old string `json:"old,omitempty"`

	Findings []finding.Finding `json:"findings,omitempty"` // of the host as a whole
	Cards    []CardFacts       `json:"cards,omitempty"`
}

// CardFacts are what a host says of one card.
type CardFacts struct {
	Slot     pci.Slot          `json:"slot"`
	ID       pci.ID            `json:"id"`
	Driver   string            `json:"driver"` // "" for none
	Findings []finding.Finding `json:"findings,omitempty"`
}

// Card is what the facts say of a card; nil when they say nothing.
func (f *Facts) Card(slot pci.Slot) *CardFacts {
	for i := range f.Cards {
		if f.Cards[i].Slot == slot {
			return &f.Cards[i]
		}
	}
	return nil
}

// Gap is something that could not be seen.
type Gap struct {
	What string `json:"what"` // "PCI devices"
	Why  string `json:"why"`
}

// Bridge is a network that VMs can be plugged into.
type Bridge struct {
	Name      string `json:"name"`
	VLANAware bool   `json:"vlanAware"`
}

// Storage is a storage as one host sees it.
type Storage struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Content []string `json:"content"` // "images", "iso", …
	Shared  bool     `json:"shared"`
	Active  bool     `json:"active"`
	Total   int64    `json:"total"` // bytes
	Free    int64    `json:"free"`  // bytes
}

// VM is a virtual machine or a template.
type VM struct {
	ID       string   `json:"id"`
	Host     string   `json:"host"` // "" where a VM gets its host when it is started
	Name     string   `json:"name"` // "" while it is being cloned
	Template bool     `json:"template,omitempty"`
	Running  bool     `json:"running"`
	State    VMState  `json:"state,omitempty"`  // what stands in the way of a change
	Locked   string   `json:"locked,omitempty"` // by what, "backup", when State is Locked
	Tags     []string `json:"tags,omitempty"`
	UUID     string   `json:"uuid,omitempty"` // SMBIOS, as configured

	// Unreadable says why the configuration could not be read; the fields
	// below are then empty, and which cards it holds is not known.
	Unreadable string `json:"unreadable,omitempty"`
	// Passed reports that the configuration was not asked for: nothing that is asked
	// about can depend on it. Whose the VM is, is then not known, and the fields
	// below are empty.
	Skipped bool `json:"passed,omitempty"`

	// Record is what our note in the VM says; nil without such a note, and when
	// it must not be believed.
	Record *Record `json:"record,omitempty"`
	// RecordProblem says why the record in the VM's note must not be believed: it
	// is damaged, or a newer program wrote it. Such a VM is never written.
	RecordProblem string `json:"recordProblem,omitempty"`

	// Cards are the cards that the VM holds or will hold: of the running and of
	// the pending configuration.
	Cards []Attachment `json:"cards,omitempty"`

	// Machine is the configuration as it will be at the next start; Applied as
	// it runs now (equal when nothing is pending or the VM is stopped).
	Machine Machine `json:"machine"`
	Applied Machine `json:"applied"`

	// CloudInit reports whether a cloud-init drive is attached.
	CloudInit bool `json:"cloudInit"`
	// BootDisk is the volume of the first disk, "" without a disk.
	BootDisk string `json:"bootDisk,omitempty"`

	// Storages are those of all drives of a template, CD-ROMs too: a clone for
	// another host needs all of them shared.
	Storages []string `json:"storages,omitempty"`

	// FromRange reports whether the identifier is one that we give to new VMs.
	FromRange bool `json:"fromRange,omitempty"`

	// Agent and Addresses are asked only with Scope.Agents.
	Agent     State    `json:"agent,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// VMState is what stands in the way of changing a VM.
type VMState string

// The states of a VM.
const (
	Free      VMState = ""           // nothing
	Cloning   VMState = "cloning"    // it is being made
	CloneDead VMState = "clone dead" // it is locked by a clone that nothing works on any more
	Locked    VMState = "locked"     // somebody else's work on it
)

// Attachment is one card in a VM's configuration.
type Attachment struct {
	Key     string        `json:"key"`               // "hostpci0"
	Mapping string        `json:"mapping,omitempty"` // "" for a raw address
	Cards   []pci.CardRef `json:"cards"`             // more than one: any of these
	// Pending: not yet in the running VM. Leaving: removed at the next stop.
	Pending bool `json:"pending,omitempty"`
	Leaving bool `json:"leaving,omitempty"`
}

// Machine is the part of a VM's configuration that a WorkerPool declares, in
// words that every hypervisor shares.
type Machine struct {
	Cores      int    `json:"cores"`
	MemoryMiB  int    `json:"memoryMiB"`
	BalloonMiB int    `json:"balloonMiB"` // 0: ballooning is off
	CPU        string `json:"cpu"`
	Type       string `json:"type"`     // TypeQ35 or TypeI440FX
	Firmware   string `json:"firmware"` // FirmwareUEFI or FirmwareBIOS; "" in a declaration keeps the template's

	DiskMiB int    `json:"diskMiB"` // 0 in a declaration keeps the template's
	Storage string `json:"storage"` // "" in a declaration keeps the template's

	// NICs are the network cards, in their order. Those that a VM has beside the
	// declared ones stay as they are.
	NICs  []NIC `json:"nics,omitempty"`
	Guest Guest `json:"guest"`
	Card  *Card `json:"card,omitempty"`

	OnBoot     bool `json:"onBoot"`
	Protection bool `json:"protection"`
	Agent      bool `json:"agent"` // the guest agent's channel is there
}

// The machine types and firmwares.
const (
	TypeQ35      = "q35"
	TypeI440FX   = "i440fx"
	FirmwareUEFI = "UEFI"
	FirmwareBIOS = "BIOS"
)

// NIC is a network card, and what cloud-init is told of it through the hypervisor.
type NIC struct {
	// Network is the hypervisor's name of the network; "" where there is no card.
	Network string `json:"network"`
	VLAN    int    `json:"vlan,omitempty"`
	// MAC is the card's address, in lower case; "" in a declaration keeps what is
	// there, or lets the hypervisor choose.
	MAC     string `json:"mac,omitempty"`
	Address string `json:"address,omitempty"` // "dhcp" or "192.0.2.21/24"; "" when nothing is told
	Gateway string `json:"gateway,omitempty"`
}

// NIC is the network card number i, from 0; the zero NIC when there is none.
func (m *Machine) NIC(i int) NIC {
	if i >= len(m.NICs) {
		return NIC{}
	}
	return m.NICs[i]
}

// ChangeNIC changes the network card number i, and no other machine that shares the
// list.
func (m *Machine) ChangeNIC(i int, change func(*NIC)) {
	nics := make([]NIC, max(len(m.NICs), i+1))
	copy(nics, m.NICs)
	change(&nics[i])
	m.NICs = nics
}

// Guest is what cloud-init is told through the hypervisor.
type Guest struct {
	User    string   `json:"user,omitempty"` // "" keeps the image's
	SSHKeys []string `json:"sshKeys,omitempty"`
	DNS     []string `json:"dns,omitempty"`
	Search  []string `json:"search,omitempty"`
}

// Card is an attached card and its options.
type Card struct {
	Ref    pci.CardRef `json:"ref"`
	PCIe   bool        `json:"pcie"`
	ROMBar bool        `json:"romBar"`
	XVGA   bool        `json:"xVGA"`
}

// Claim is a card that is reserved for a worker, in the hypervisor's own register
// or in a VM.
type Claim struct {
	Card     pci.CardRef `json:"card"`
	Register string      `json:"register"` // where it is written: the mapping's name, or the VM's identifier
	Record   Record      `json:"record"`
	// Releasing reports whether the worker is gone and the register about to be
	// removed by whoever wrote the record.
	Releasing bool `json:"releasing,omitempty"`
	// FromRange is that of the record's VM; see VM.
	FromRange bool `json:"fromRange,omitempty"`
	// Problem says why the record must not be believed, and the register not be
	// written: it is damaged, or a newer program wrote it. The card counts as taken.
	// Record then holds at most the worker's identity.
	Problem string `json:"problem,omitempty"`
	// Stale is why the register does not fit the hardware any more, "" when it does.
	Stale string `json:"stale,omitempty"`
}
