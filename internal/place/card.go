package place

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// CheckCardThere checks whether the slot holds an NVIDIA GPU.
func CheckCardThere(s *inventory.Snapshot, h *inventory.Host, slot pci.Slot) finding.Finding {
	f := finding.New(finding.CardMissing, finding.Fail, at(s, h.Name))
	f.Where.Card = slot.At(0)
	if gap, found := unreadable(s, h, "PCI devices"); found {
		gap.Where.Card = slot.At(0)
		return gap
	}
	device := h.Device(slot)
	if device == nil {
		f.Reason = fmt.Sprintf("the host has no device at this address; it has %s", gpuList(h))
		f.Fix = "gpuworker gpus lists the cards; addresses change when cards are added or moved"
		return f
	}
	f.Where.Card = device.Address()
	gpu, ok := device.GPU()
	if !ok {
		first := device.Functions[0]
		f.ID, f.Reason = finding.CardNotGPU, "this is not an NVIDIA GPU: "+functionName(first)
		if first.Class.IsBridge() {
			f.Reason = fmt.Sprintf("this is a PCI bridge, the card is behind it: %s; the host has %s", functionName(first), gpuList(h))
		}
		f.Fix = "gpuworker gpus lists the cards"
		return f
	}
	f.Verdict, f.Reason = finding.Pass, gpu.ShortName()
	return f
}

// CheckCardAlone checks whether starting a VM with the card would take other devices
// from the host. Proxmox binds the whole IOMMU group to vfio-pci (PVE::SysFSTools,
// pci_dev_group_bind_to_vfio), so a group may hold only the card and bridges.
func CheckCardAlone(s *inventory.Snapshot, h *inventory.Host, d pci.Device) finding.Finding {
	f := finding.New(finding.CardGroupShared, finding.Fail, atCard(s, h.Name, d))
	if s.Capabilities.HidesGroups {
		f.ID, f.Verdict = finding.CardGroupHidden, finding.Unknown
		f.Reason = fmt.Sprintf("%s does not show IOMMU groups, so it is not known whether the card is alone in its group; the hypervisor checks this itself", s.Product)
		f.Fix = "no action is needed if the VM starts; the hypervisor's own tools show what the card shares"
		return f
	}
	group := d.Functions[0].Group
	for _, function := range d.Functions {
		if function.Group == pci.NoGroup {
			f = f.As(finding.HostIOMMUOff)
			f.Reason = fmt.Sprintf("%s is in no IOMMU group", function.BDF)
			f.Fix = s.Advise(inventory.SwitchIOMMUOn, inventory.Subject{})
			return f
		}
	}
	mates := h.GroupMates(d)
	if len(mates) == 0 {
		f.Verdict, f.Reason = finding.Pass, fmt.Sprintf("alone in IOMMU group %d", group)
		return f
	}
	var names []string
	for _, mate := range mates {
		names = append(names, functionName(mate))
	}
	f.Reason = fmt.Sprintf("shares IOMMU group %d with %s: starting a VM with the card would also take this device from the host", mates[0].Group, strings.Join(names, ", "))
	f.Fix = "move the card to another slot, or turn ACS on in the host's firmware"
	return f
}

// CheckCardFree checks whether the card is free for the worker: not attached to
// another VM, and not claimed for another worker. An unreadable VM on the host may hold
// the card: then the result is unknown.
func CheckCardFree(s *inventory.Snapshot, h *inventory.Host, d pci.Device, worker Holder) []finding.Finding {
	var findings []finding.Finding
	for _, vm := range s.Holders(h.Ref(d)) {
		if vm.ID == worker.VM {
			continue
		}
		findings = append(findings, held(s, h, d, vm))
	}
	findings = append(findings, hiddenHolders(s, h, d)...)
	if claim := s.Claim(h.Ref(d)); claim != nil {
		findings = append(findings, claimed(s, h, d, claim, worker)...)
	}
	if _, notes := Split(findings); len(notes) == len(findings) {
		findings = append(findings, finding.New(finding.CardHeld, finding.Pass, atCard(s, h.Name, d)).WithReason("free"))
	}
	return findings
}

func held(s *inventory.Snapshot, h *inventory.Host, d pci.Device, vm *inventory.VM) finding.Finding {
	f := finding.New(finding.CardHeld, finding.Fail, atCard(s, h.Name, d)).WithReason(fmt.Sprintf("attached to %s, %s", VMName(vm), ownerWords(vm)))
	f.Where.VM = vm.ID
	for _, a := range vm.Cards {
		if !slices.Contains(a.Cards, h.Ref(d)) {
			continue
		}
		if len(a.Cards) > 1 {
			f.Reason += fmt.Sprintf(" (by mapping %s, which stands for %d cards)", a.Mapping, len(a.Cards))
		}
		f.Fix = on(h.Name, "choose another card, or "+s.Advise(inventory.TakeCardOut, inventory.Subject{VM: vm.ID, Key: a.Key}))
	}
	if ownership, _ := vm.Ownership(); ownership == inventory.Ours || ownership == inventory.Unmarked {
		f.Fix = "choose another card, or delete that worker first: " + shell.Command("gpuworker delete %s", vm.Record.Worker)
	}
	return f
}

func hiddenHolders(s *inventory.Snapshot, h *inventory.Host, d pci.Device) []finding.Finding {
	var findings []finding.Finding
	for _, vm := range s.Residents(h.Name) {
		if vm.Unreadable == "" || vm.Template {
			continue
		}
		f := finding.New(finding.CardHolderUnknown, finding.Unknown, atCard(s, h.Name, d)).
			WithReason(fmt.Sprintf("%s cannot be read, so it may hold the card: %s", VMName(vm), vm.Unreadable)).
			WithFix(UnreadableFix(s, vm))
		f.Where.VM = vm.ID
		findings = append(findings, f)
	}
	return findings
}

// UnusableClaim is the finding of a card whose claim has an unusable record: the card
// counts as taken, but the worker is not known.
func UnusableClaim(s *inventory.Snapshot, claim *inventory.Claim) finding.Finding {
	f := finding.New(finding.CardClaimed, finding.Fail, at(s, claim.Card.Host))
	f.Where.Card = claim.Card.BDF()
	f.Reason = fmt.Sprintf("the claim on it in register %s cannot be used: %s", claim.Register, claim.Problem)
	f.Fix = s.Advise(inventory.RepairClaim, inventory.Subject{Key: claim.Register})
	return f
}

func claimed(s *inventory.Snapshot, h *inventory.Host, d pci.Device, claim *inventory.Claim, worker Holder) []finding.Finding {
	f := finding.New(finding.CardClaimed, finding.Unknown, atCard(s, h.Name, d))
	r := claim.Record
	switch {
	case claim.Problem != "":
		where := f.Where
		f = UnusableClaim(s, claim)
		f.Where = where
	case claim.Releasing:
		f.Verdict = finding.Info
		f.Reason = fmt.Sprintf("worker %s is releasing the card now; a new claim waits up to a minute until this is done", r.Worker)
	case r.WorkerKey != worker.WorkerKey:
		f.Verdict = finding.Fail
		f.Reason = fmt.Sprintf("claimed for worker %s of %s", r.Worker, r.PoolWords())
		if r.By != "" {
			f.Reason += ", by " + r.By
		}
		f.Fix = "choose another card, or delete that worker first: " + shell.Command("gpuworker delete %s", r.Worker)
	case claim.Stale != "":
		f.ID, f.Verdict = finding.MappingStale, finding.Info
		f.Reason = fmt.Sprintf("register %s does not match the hardware and will be renewed: %s", claim.Register, claim.Stale)
	default:
		return nil
	}
	return []finding.Finding{f}
}
