package cli

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// The states of a card, as the STATE column says them.
const (
	cardReady    = "ready"    // free to be used
	cardInUse    = "in use"   // by a worker of ours
	cardReserved = "reserved" // claimed for a worker that has no VM yet
	cardTaken    = "taken"    // by a VM that is not ours
	cardBlocked  = "blocked"  // it cannot be attached without harm
	cardNoIOMMU  = "no IOMMU"
	cardUnknown  = "unknown"
)

// cardView is one GPU for machines, and the row of the table.
type cardView struct {
	Hypervisor string  `json:"hypervisor"`
	Host       string  `json:"host"`
	BDF        pci.BDF `json:"bdf,omitzero"`
	Model      string  `json:"model,omitempty"`
	ID         pci.ID  `json:"id,omitzero"`
	// With is what else is on the card: "audio".
	With   []string `json:"with,omitempty"`
	Group  int      `json:"group"` // IOMMU group, -1 without IOMMU
	Alone  bool     `json:"alone"` // nothing else is in the group
	HeldBy *holder  `json:"heldBy,omitempty"`
	State  string   `json:"state"`
	Reason string   `json:"reason,omitempty"`
}

// holder is the VM that has a card, or the worker that it is reserved for.
type holder struct {
	Name string `json:"name"`
	VM   string `json:"vm,omitempty"` // "" while there is no VM
	Ours bool   `json:"ours"`
}

// String is the holder as the table names it: "vdi-7 (VM 204)", "" for nobody.
func (h *holder) String() string {
	switch {
	case h == nil:
		return ""
	case h.VM == "":
		return h.Name
	}
	return fmt.Sprintf("%s (VM %s)", h.Name, h.VM)
}

// cardsOf are the GPUs of a host and how each is.
func cardsOf(world engine.World, h *inventory.Host) []cardView {
	if why := blindness(h); why != "" {
		return []cardView{{Hypervisor: world.Hypervisor, Host: h.Name, Group: pci.NoGroup, State: cardUnknown, Reason: why}}
	}
	var views []cardView
	for _, device := range h.GPUs() {
		gpu, _ := device.GPU()
		view := cardView{
			Hypervisor: world.Hypervisor, Host: h.Name, BDF: gpu.BDF, Model: gpu.ShortName(), ID: gpu.ID,
			With: extras(device), Group: gpu.Group, Alone: gpu.Group != pci.NoGroup && len(h.GroupMates(device)) == 0,
		}
		view.State, view.HeldBy, view.Reason = judgeCard(world.Snapshot, h, device)
		views = append(views, view)
	}
	return views
}

// blindness says why a host's cards could not be seen, "" when they could.
func blindness(h *inventory.Host) string {
	if !h.Online {
		return "the host is offline (" + string(finding.HostOffline) + ")"
	}
	for _, gap := range h.Gaps {
		if len(h.Devices) == 0 && strings.Contains(gap.What, "PCI") {
			return gap.Why
		}
	}
	return ""
}

// extras are the short names of the card's functions beside the GPU.
func extras(device pci.Device) []string {
	gpu, _ := device.GPU()
	var names []string
	for _, f := range device.Functions {
		if f.BDF != gpu.BDF {
			names = append(names, strings.TrimSuffix(strings.TrimSuffix(f.Class.Noun(), " device"), " controller"))
		}
	}
	return names
}

// judgeCard says how a card is, who holds it and why it is so.
func judgeCard(s *inventory.Snapshot, h *inventory.Host, device pci.Device) (state string, by *holder, reason string) {
	if holders := s.Holders(h.Name, device.Slot); len(holders) > 0 {
		return heldBy(holders)
	}
	if claim := s.Claim(h.Name, device.Slot); claim != nil && claim.Problem != "" {
		return cardReserved, &holder{Name: claim.Register}, claim.Problem
	} else if claim != nil && !claim.Releasing {
		return cardReserved, &holder{Name: claim.Record.Worker, Ours: true}, "by " + orSomebody(claim.Record.By)
	}
	if h.IOMMU == inventory.Off {
		return cardNoIOMMU, nil, string(finding.HostIOMMUOff)
	}
	if mates := h.GroupMates(device); len(mates) > 0 {
		names := make([]string, len(mates))
		for i, mate := range mates {
			names[i] = fmt.Sprintf("%s %s", mate.BDF, mate.ShortName())
		}
		return cardBlocked, nil, fmt.Sprintf("shares group %d with %s", mates[0].Group, strings.Join(names, ", "))
	}
	if vm := unreadableOn(s, h.Name); vm != nil {
		return cardUnknown, nil, fmt.Sprintf("VM %s may hold it and cannot be read (%s)", vm.ID, finding.VMUnreadable)
	}
	return cardReady, nil, ""
}

func heldBy(vms []*inventory.VM) (state string, by *holder, reason string) {
	vm := vms[0]
	by = &holder{Name: vm.Name, VM: vm.ID}
	if len(vms) > 1 {
		reason = fmt.Sprintf("and %s more have it too", count(len(vms)-1, "VM"))
	}
	switch ownership, why := vm.Ownership(); ownership {
	case inventory.Ours, inventory.Fresh:
		by.Ours = true
		return cardInUse, by, reason
	case inventory.Doubtful:
		return cardTaken, by, "not proven to be ours: " + why
	default:
		if reason == "" {
			reason = "not ours"
		}
		return cardTaken, by, reason
	}
}

func unreadableOn(s *inventory.Snapshot, host string) *inventory.VM {
	for i := range s.VMs {
		if s.VMs[i].Host == host && s.VMs[i].Unreadable != "" {
			return &s.VMs[i]
		}
	}
	return nil
}

func orSomebody(by string) string {
	if by == "" {
		return "somebody"
	}
	return by
}
