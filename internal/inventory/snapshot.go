package inventory

import (
	"slices"
	"sync/atomic"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Snapshot is one hypervisor at one moment.
type Snapshot struct {
	Hypervisor string  `json:"hypervisor"`        // name of the document
	Product    string  `json:"product"`           // "Proxmox VE"
	Version    string  `json:"version"`           // "9.1.4"
	Supported  bool    `json:"supported"`         // the version is supported
	Missing    []Right `json:"missing,omitempty"` // privileges that the login lacks

	// Frozen says why the hypervisor takes no changes at present; nil when it does.
	Frozen       *Frozen      `json:"frozen,omitempty"`
	Capabilities Capabilities `json:"capabilities"`
	// FreeIDs are identifiers for new VMs, in the order of use; empty when none is
	// left, or when the hypervisor chooses them.
	FreeIDs []string `json:"freeIDs,omitempty"`
	// IDRange are the identifiers that new VMs may have, "9100 to 9199".
	IDRange string `json:"idRange,omitempty"`
	// Advice has remedies in the hypervisor's own words.
	Advice Advice `json:"-"`

	// Setup are findings about the connection to the hypervisor and about the range of
	// VM identifiers. No plan depends on them.
	Setup []finding.Finding `json:"setup,omitempty"`

	// MissingPool is the declared resource pool for new VMs when it does not exist; ""
	// when it exists, when none is declared, or when it cannot be seen.
	MissingPool string `json:"missingPool,omitempty"`

	Hosts  []Host  `json:"hosts"`  // by name
	VMs    []VM    `json:"vms"`    // by identifier; templates too
	Claims []Claim `json:"claims"` // by host and slot

	// Seeds are the images of seeds on the storages; read only with Scope.Seeds.
	Seeds []SeedImage `json:"seeds,omitempty"`

	index atomic.Pointer[index]
}

// Reserved is the snapshot with further claims, and without these free identifiers.
func (s *Snapshot) Reserved(more []Claim, used []string) *Snapshot {
	with := &Snapshot{
		Hypervisor: s.Hypervisor, Product: s.Product, Version: s.Version, Supported: s.Supported, Missing: s.Missing, Frozen: s.Frozen,
		Capabilities: s.Capabilities, IDRange: s.IDRange, Advice: s.Advice, Setup: s.Setup, MissingPool: s.MissingPool, Seeds: s.Seeds,
		Hosts: s.Hosts, VMs: s.VMs, Claims: slices.Concat(s.Claims, more),
		FreeIDs: slices.DeleteFunc(slices.Clone(s.FreeIDs), func(id string) bool { return slices.Contains(used, id) }),
	}
	slices.SortStableFunc(with.Claims, func(a, b Claim) int { return a.Card.Compare(b.Card) })
	return with
}

// Frozen is the state of a hypervisor that can be read but takes no changes, such as
// a cluster without quorum.
type Frozen struct {
	Why string `json:"why"`
	Fix string `json:"fix"`
}

// Right is a privilege that the login lacks, what it is for, and what is impossible
// without it.
type Right struct {
	Privilege string `json:"privilege"`
	Path      string `json:"path"`
	For       string `json:"for"`
	Stops     Stops  `json:"stops,omitempty"`
}

// Stops is what a missing privilege makes impossible.
type Stops string

// The effects of a missing privilege.
const (
	StopsNothing Stops = ""            // something is not visible, but everything works
	StopsCards   Stops = "GPU workers" // workers with a card cannot be made
	StopsAll     Stops = "workers"     // no worker can be made
)

// State is on, off or unknown.
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
	// Gaps are the parts of the host that could not be read, with the reason.
	Gaps []Gap `json:"gaps,omitempty"`

	// Facts are the host facts; nil when the host was not asked for them.
	Facts *Facts `json:"facts,omitempty"`
}

// Facts are what gpuworker-host reports about its host and the hypervisor's API does
// not show: firmware, kernel, drivers, resets.
type Facts struct {
	From string `json:"from"` // "facts/pve1.json", "ssh root@pve1"
	// Missing says why the facts could not be read; the rest is then empty.
	Missing string `json:"missing,omitempty"`
	// Old says why the facts are stale and ignored: they are too old, were made before
	// the host was started, or have no time.
	Old string `json:"old,omitempty"`

	Findings []finding.Finding `json:"findings,omitempty"` // about the host as a whole
	Cards    []CardFacts       `json:"cards,omitempty"`
}

// CardFacts are the host facts about one card.
type CardFacts struct {
	Slot     pci.Slot          `json:"slot"`
	ID       pci.ID            `json:"id"`
	Driver   string            `json:"driver"` // "" for none
	Findings []finding.Finding `json:"findings,omitempty"`
}

// Card finds the facts about a card; nil when there are none.
func (f *Facts) Card(slot pci.Slot) *CardFacts {
	for i := range f.Cards {
		if f.Cards[i].Slot == slot {
			return &f.Cards[i]
		}
	}
	return nil
}

// Gap is a part of a host that could not be read.
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
	State    VMState  `json:"state,omitempty"`  // what blocks a change
	Locked   string   `json:"locked,omitempty"` // by what, "backup", when State is Locked
	Tags     []string `json:"tags,omitempty"`
	UUID     string   `json:"uuid,omitempty"` // SMBIOS, as configured

	// Unreadable says why the configuration could not be read; the fields
	// below are then empty, and it is not known which cards the VM holds.
	Unreadable string `json:"unreadable,omitempty"`
	// Skipped reports whether the configuration was not read, because the request does
	// not depend on it. The fields below are then empty, and the owner is not known.
	Skipped bool `json:"passed,omitempty"`

	// Record is our record in the VM's note; nil when there is none or it is unusable.
	Record *Record `json:"record,omitempty"`
	// RecordProblem says why the record in the VM's note is unusable: it is damaged,
	// or a newer program wrote it. Such a VM is never changed.
	RecordProblem string `json:"recordProblem,omitempty"`

	// Cards are the attached cards of the running and of the pending configuration.
	Cards []Attachment `json:"cards,omitempty"`

	// Machine is the configuration for the next start, Applied the running one. They
	// are equal when nothing is pending or the VM is stopped.
	Machine Machine `json:"machine"`
	Applied Machine `json:"applied"`

	// CloudInit reports whether a cloud-init drive of the hypervisor is attached.
	CloudInit bool `json:"cloudInit"`
	// Seed is the seed that the VM has at the next start. It is ours when its name has
	// the UUID of the record.
	Seed SeedState `json:"seed,omitempty"`
	// BootDisk is the volume of the first disk, "" without a disk.
	BootDisk string `json:"bootDisk,omitempty"`

	// Storages are those of all drives of a template, CD-ROMs too: for a clone on
	// another host, all of them must be shared.
	Storages []string `json:"storages,omitempty"`

	// FromRange reports whether the identifier is in the range for new VMs.
	FromRange bool `json:"fromRange,omitempty"`

	// Agent and Addresses are read only with Scope.Agents.
	Agent     State    `json:"agent,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// VMState says what blocks changes of a VM.
type VMState string

// The states of a VM.
const (
	Free      VMState = ""           // nothing blocks changes
	Cloning   VMState = "cloning"    // a running clone makes it
	CloneDead VMState = "clone dead" // locked by a clone whose task is gone
	Locked    VMState = "locked"     // locked by another task
)

// Attachment is one card in a VM's configuration.
type Attachment struct {
	Key     string        `json:"key"`               // "hostpci0"
	Mapping string        `json:"mapping,omitempty"` // "" for a raw address
	Cards   []pci.CardRef `json:"cards"`             // more than one: any of these
	// Pending: added at the next start. Leaving: removed at the next stop.
	Pending bool `json:"pending,omitempty"`
	Leaving bool `json:"leaving,omitempty"`
	// Text is how the hypervisor writes it: on Proxmox VE the value of the option,
	// "mapping=gpu-pve1-0000-03-00,pcie=1". It is for people only; nothing depends on it.
	Text string `json:"-"`
}

// Machine is the part of a VM's configuration that a WorkerPool declares, in terms
// that fit every hypervisor.
type Machine struct {
	Cores      int    `json:"cores"`
	MemoryMiB  int    `json:"memoryMiB"`
	BalloonMiB int    `json:"balloonMiB"` // 0: ballooning is off
	CPU        string `json:"cpu"`
	Type       string `json:"type"`     // TypeQ35 or TypeI440FX
	Firmware   string `json:"firmware"` // FirmwareUEFI or FirmwareBIOS; "" in a declaration keeps the template's

	DiskMiB int    `json:"diskMiB"` // 0 in a declaration keeps the template's
	Storage string `json:"storage"` // "" in a declaration keeps the template's

	// NICs are the network cards, in their order. Undeclared ones of a VM stay as they
	// are.
	NICs  []NIC `json:"nics,omitempty"`
	Guest Guest `json:"guest"`
	Card  *Card `json:"card,omitempty"`

	OnBoot     bool `json:"onBoot"`
	Protection bool `json:"protection"`
	Agent      bool `json:"agent"` // the VM has the guest agent's channel
}

// The machine types and firmwares.
const (
	TypeQ35      = "q35"
	TypeI440FX   = "i440fx"
	FirmwareUEFI = "UEFI"
	FirmwareBIOS = "BIOS"
)

// NIC is a network card and its cloud-init configuration in the hypervisor.
type NIC struct {
	// Network is the hypervisor's name of the network; "" when there is no card.
	Network string `json:"network"`
	VLAN    int    `json:"vlan,omitempty"`
	// MAC is in lower case; "" in a declaration keeps the present MAC, or lets the
	// hypervisor choose.
	MAC     string `json:"mac,omitempty"`
	Address string `json:"address,omitempty"` // "dhcp" or "192.0.2.21/24"; "" when not configured
	Gateway string `json:"gateway,omitempty"`
}

// NIC returns network card i, from 0; the zero NIC when there is none.
func (m *Machine) NIC(i int) NIC {
	if i >= len(m.NICs) {
		return NIC{}
	}
	return m.NICs[i]
}

// ChangeNIC changes network card i in a copy of the list, which other machines may
// share.
func (m *Machine) ChangeNIC(i int, change func(*NIC)) {
	nics := make([]NIC, max(len(m.NICs), i+1))
	copy(nics, m.NICs)
	change(&nics[i])
	m.NICs = nics
}

// Guest is the cloud-init configuration in the hypervisor.
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

// Claim reserves a card for a worker, in the hypervisor's register or in a VM.
type Claim struct {
	Card     pci.CardRef `json:"card"`
	Register string      `json:"register"` // where it is written: the mapping's name, or the VM's identifier
	Record   Record      `json:"record"`
	// Releasing reports whether the worker is gone and the author of the record is
	// about to remove the register.
	Releasing bool `json:"releasing,omitempty"`
	// FromRange reports whether the VM of the record has an identifier of our range.
	FromRange bool `json:"fromRange,omitempty"`
	// Problem says why the record is unusable and the register must not be changed: it
	// is damaged, or a newer program wrote it. The card counts as taken. Record then
	// has at most the worker's identity.
	Problem string `json:"problem,omitempty"`
	// Stale says why the register no longer matches the hardware; "" when it does.
	Stale string `json:"stale,omitempty"`
}
