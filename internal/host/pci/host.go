package pci

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Host is all PCI functions of a host and their IOMMU groups.
type Host struct {
	Functions []Function `json:"functions"` // by address
	Groups    []Group    `json:"groups"`    // by number, which may have gaps
	// IOMMUs are the units that are on: "dmar0" (Intel), "ivhd0" (AMD). If empty, the
	// IOMMU is off.
	IOMMUs []string `json:"iommus"`
	// Odd are names in the list of devices that are not addresses, with the reason.
	Odd []string `json:"odd,omitempty"`
}

// Group is an IOMMU group: functions that cannot be isolated from each other.
type Group struct {
	Number  int       `json:"number"`
	Type    string    `json:"type,omitempty"` // "identity", "DMA", "DMA-FQ", …
	Members []pci.BDF `json:"members"`
}

// Read reads the host. It returns an error only when the PCI devices cannot be listed;
// problems of single devices are in the Host.
func Read(tree hosttree.Reader) (*Host, error) {
	names, err := tree.ReadDir(devices)
	if err != nil {
		return nil, fmt.Errorf("list the PCI devices of the host in /%s: %w", devices, err)
	}
	h := &Host{IOMMUs: []string{}}
	for _, name := range names {
		bdf, err := pci.ParseBDF(name)
		if err != nil {
			h.Odd = append(h.Odd, err.Error())
			continue
		}
		h.Functions = append(h.Functions, read(tree, bdf))
	}
	slices.SortFunc(h.Functions, func(a, b Function) int { return a.BDF.Compare(b.BDF) })
	if units, err := tree.ReadDir("sys/class/iommu"); err == nil {
		h.IOMMUs = append(h.IOMMUs, units...)
	}
	h.Groups = readGroups(tree, h.Functions)
	name(tree, h.Functions)
	return h, nil
}

// ReadSlot reads the IDs, places and drivers of the functions of one slot, and nothing
// else. It is fast, for callers that read often. An empty slot has no functions.
func ReadSlot(tree hosttree.Reader, slot pci.Slot) (*Host, error) {
	names, err := tree.ReadDir(devices)
	if err != nil {
		return nil, fmt.Errorf("list the PCI devices of the host in /%s: %w", devices, err)
	}
	h := &Host{IOMMUs: []string{}}
	for _, name := range names {
		if !strings.HasPrefix(name, slot.String()+".") {
			continue
		}
		bdf, err := pci.ParseBDF(name)
		if err != nil {
			h.Odd = append(h.Odd, err.Error())
			continue
		}
		f := Function{Function: pci.Function{BDF: bdf, Group: pci.NoGroup}, NUMANode: -1}
		attributes{tree: tree, dir: path.Join(devices, name), f: &f}.identity()
		h.Functions = append(h.Functions, f)
	}
	slices.SortFunc(h.Functions, func(a, b Function) int { return a.BDF.Compare(b.BDF) })
	return h, nil
}

// readGroups collects the groups from the iommu_group links of the functions, which
// is what the kernel uses, and adds their types.
func readGroups(tree hosttree.Reader, functions []Function) []Group {
	members := map[int][]pci.BDF{}
	for i := range functions {
		if f := &functions[i]; f.Group != pci.NoGroup {
			members[f.Group] = append(members[f.Group], f.BDF)
		}
	}
	var groups []Group
	for number, bdfs := range members {
		a := attributes{tree: tree, dir: path.Join("sys/kernel/iommu_groups", strconv.Itoa(number)), f: &Function{}}
		groups = append(groups, Group{Number: number, Type: a.text("type"), Members: bdfs})
	}
	slices.SortFunc(groups, func(a, b Group) int { return a.Number - b.Number })
	return groups
}

// Function finds a function; nil when there is none.
func (h *Host) Function(bdf pci.BDF) *Function {
	for i := range h.Functions {
		if h.Functions[i].BDF == bdf {
			return &h.Functions[i]
		}
	}
	return nil
}

// Slot returns the functions of one slot, by number.
func (h *Host) Slot(slot pci.Slot) []*Function {
	var functions []*Function
	for i := range h.Functions {
		if h.Functions[i].BDF.Slot == slot {
			functions = append(functions, &h.Functions[i])
		}
	}
	return functions
}

// Card is a GPU with all functions of its slot.
type Card struct {
	Slot      pci.Slot    `json:"slot"`
	Functions []*Function `json:"functions"` // by number
}

// Main returns the GPU function.
func (c Card) Main() *Function {
	i := slices.IndexFunc(c.Functions, (*Function).IsDisplay)
	return c.Functions[max(i, 0)]
}

// Cards returns the GPUs of the host, by address.
func (h *Host) Cards() []Card {
	var cards []Card
	for i := range h.Functions {
		f := &h.Functions[i]
		if n := len(cards); !f.IsDisplay() || n > 0 && cards[n-1].Slot == f.BDF.Slot {
			continue
		}
		cards = append(cards, Card{Slot: f.BDF.Slot, Functions: h.Slot(f.BDF.Slot)})
	}
	return cards
}

// Card returns the card in a slot; ok is false when the slot has no GPU.
func (h *Host) Card(slot pci.Slot) (card Card, ok bool) {
	functions := h.Slot(slot)
	return Card{Slot: slot, Functions: functions}, slices.ContainsFunc(functions, (*Function).IsDisplay)
}

// Mates returns the functions of other devices in the groups of the card, except
// bridges: the functions that prevent passthrough. A bridge without a bus behind it,
// such as an ISA bridge, counts too if a driver of the host uses it: only the drivers
// of bridges to buses (and those of VFIO) allow others to use the group
// (driver_managed_dma in struct pci_driver).
func (h *Host) Mates(card Card) []*Function {
	groups := map[int]bool{}
	for _, f := range card.Functions {
		if f.Group != pci.NoGroup {
			groups[f.Group] = true
		}
	}
	var mates []*Function
	for i := range h.Functions {
		f := &h.Functions[i]
		if f.BDF.Slot != card.Slot && groups[f.Group] && !f.Bus && !(f.Class.IsBridge() && ForVMs(f.Driver)) {
			mates = append(mates, f)
		}
	}
	return mates
}
