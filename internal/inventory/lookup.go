package inventory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Host finds a host by name; nil when there is none.
func (s *Snapshot) Host(name string) *Host { return s.lookup().hosts[name] }

// VM finds a VM by its identifier; nil when there is none.
func (s *Snapshot) VM(id string) *VM { return s.lookup().vms[id] }

// CompareIDs orders identifiers: numbers by their value.
func CompareIDs(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }

// Claim finds the claim on a card; nil when there is none.
func (s *Snapshot) Claim(card pci.CardRef) *Claim { return s.lookup().claims[card] }

// Home is the host of the VM or, where a VM gets its host when it is started, the
// intended host: that of its card, else that of its record; "" when it is not known.
func (vm *VM) Home() string {
	switch {
	case vm.Host != "":
		return vm.Host
	case len(vm.Cards) > 0 && len(vm.Cards[0].Cards) > 0:
		return vm.Cards[0].Cards[0].Host
	case vm.Record != nil:
		return vm.Record.Host
	}
	return ""
}

// Residents are the VMs and templates whose Home is the host, in the order of their
// identifiers.
func (s *Snapshot) Residents(host string) []*VM { return s.lookup().residents[host] }

// Holders are the VMs that have the card in their running or pending configuration,
// in the order of their identifiers. Templates do not count: they never start.
func (s *Snapshot) Holders(card pci.CardRef) []*VM {
	var holders []*VM
	for _, vm := range s.Residents(card.Host) {
		if !vm.Template && vm.Holds(card) {
			holders = append(holders, vm)
		}
	}
	return holders
}

// Holds reports whether the card is in the VM's configuration, running or pending.
func (vm *VM) Holds(card pci.CardRef) bool {
	return slices.ContainsFunc(vm.Cards, func(a Attachment) bool { return slices.Contains(a.Cards, card) })
}

// Ref is the CardRef of one of the host's cards.
func (h *Host) Ref(card pci.Device) pci.CardRef { return pci.CardRef{Host: h.Name, Slot: card.Slot} }

// Device finds a card by slot; nil when there is none.
func (h *Host) Device(slot pci.Slot) *pci.Device {
	for i := range h.Devices {
		if h.Devices[i].Slot == slot {
			return &h.Devices[i]
		}
	}
	return nil
}

// GroupMates are the functions of other devices in the card's IOMMU groups that
// starting a VM would take from the host: all except bridges.
func (h *Host) GroupMates(card pci.Device) []pci.Function {
	groups := map[int]bool{}
	for _, f := range card.Functions {
		if f.Group != pci.NoGroup {
			groups[f.Group] = true
		}
	}
	var mates []pci.Function
	for _, d := range h.Devices {
		if d.Slot == card.Slot {
			continue
		}
		for _, f := range d.Functions {
			if groups[f.Group] && !f.Class.IsBridge() {
				mates = append(mates, f)
			}
		}
	}
	return mates
}

// GPUs are the host's GPUs, in the order of their addresses.
func (h *Host) GPUs() []pci.Device {
	var gpus []pci.Device
	for _, d := range h.Devices {
		if _, ok := d.GPU(); ok {
			gpus = append(gpus, d)
		}
	}
	return gpus
}

// Storage finds a storage of the host; nil when there is none.
func (h *Host) Storage(name string) *Storage {
	for i := range h.Storages {
		if h.Storages[i].Name == name {
			return &h.Storages[i]
		}
	}
	return nil
}

// Bridge finds a bridge of the host; nil when there is none.
func (h *Host) Bridge(name string) *Bridge {
	for i := range h.Bridges {
		if h.Bridges[i].Name == name {
			return &h.Bridges[i]
		}
	}
	return nil
}

// Has reports whether the storage accepts this kind of content.
func (s *Storage) Has(content string) bool { return slices.Contains(s.Content, content) }
