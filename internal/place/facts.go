package place

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// CheckHostFacts checks a card by its host's facts. Without facts the kernel driver
// of the card is unknown, since no API of the hypervisor shows it. An unknown is only
// a note, but fails when facts are required.
func CheckHostFacts(s *inventory.Snapshot, h *inventory.Host, d pci.Device, required bool) []finding.Finding {
	findings := hostFacts(s, h, d)
	if required {
		for i := range findings {
			if f := &findings[i]; f.Verdict == finding.Unknown {
				f.Verdict, f.Reason = finding.Fail, f.Reason+" (spec.requireHostFacts)"
				if f.ID == finding.HostDriver {
					f.ID = finding.HostFactsNone
				}
				if h.Facts == nil {
					f.Fix = on(h.Name, "gpuworker-host check -o json") + " makes a file for --host-facts DIR; or let gpuworker ask the host: --ssh USER@{host}"
				}
			}
		}
	}
	return findings
}

func hostFacts(s *inventory.Snapshot, h *inventory.Host, d pci.Device) []finding.Finding {
	f := finding.New(finding.HostDriver, finding.Unknown, atCard(s, h.Name, d))
	switch {
	case h.Facts == nil:
		f.Reason = "the kernel driver that holds the card is not known: the API of " + s.Product + " does not show it"
		f.Fix = on(h.Name, "lspci -nnk -s "+d.Slot.String()) + ": it should say vfio-pci, or no driver"
		return []finding.Finding{f}
	case h.Facts.Missing != "":
		f.ID = finding.HostFactsNone
		f.Reason = fmt.Sprintf("the host did not report which kernel driver holds the card: %s: %s", h.Facts.From, h.Facts.Missing)
		f.Fix = on(h.Name, "gpuworker-host check")
		return []finding.Finding{f}
	}
	renew := on(h.Name, "gpuworker-host check -o json") + " makes new ones"
	if h.Facts.Old != "" {
		f.ID, f.Fix = finding.HostFactsOld, renew
		f.Reason = fmt.Sprintf("host facts are ignored: %s %s", h.Facts.From, h.Facts.Old)
		return []finding.Finding{f}
	}
	card := h.Facts.Card(d.Slot)
	gpu, _ := d.GPU()
	if card == nil || card.ID != gpu.ID {
		f.ID, f.Fix = finding.HostFactsOld, renew
		f.Reason = fmt.Sprintf("host facts are stale: %s has no such card", h.Facts.From)
		if card != nil {
			f.Reason = fmt.Sprintf("host facts are stale: in %s this card is %s, now it is %s", h.Facts.From, card.ID, gpu.ID)
		}
		return []finding.Finding{f}
	}
	reported := slices.Concat(h.Facts.Findings, card.Findings)
	for i := range reported {
		reported[i].Where = atCard(s, h.Name, d)
		if reported[i].Fix != "" {
			reported[i].Fix = on(h.Name, reported[i].Fix)
		}
	}
	reported = slices.DeleteFunc(reported, func(f finding.Finding) bool { return f.Verdict == finding.Pass })
	if !slices.ContainsFunc(reported, func(f finding.Finding) bool { return f.Verdict != finding.Info }) {
		f.Verdict, f.Reason = finding.Pass, fmt.Sprintf("%s, according to %s", cmp.Or(card.Driver, "no driver"), h.Facts.From)
		reported = append(reported, f)
	}
	return reported
}

// ProvenByVM corrects findings about the card's driver when the VM runs with the
// card: then vfio-pci holds it, and other facts are stale. A card that is attached at
// the next start, or that is one of several cards of a mapping, proves nothing.
func ProvenByVM(s *inventory.Snapshot, id string, card pci.CardRef, findings []finding.Finding) []finding.Finding {
	if !RunsWith(s, id, card) {
		return findings
	}
	for i := range findings {
		if f := &findings[i]; f.ID == finding.HostDriver || f.ID == finding.HostDriverOwns || f.ID == finding.HostFactsNone && f.Verdict == finding.Unknown {
			f.Verdict, f.Reason, f.Fix = finding.Pass, fmt.Sprintf("VM %s runs with the card, so vfio-pci has it", id), ""
		}
	}
	return findings
}

// RunsWith reports whether the VM runs and certainly has this card.
func RunsWith(s *inventory.Snapshot, id string, card pci.CardRef) bool {
	vm := s.VM(id)
	return vm != nil && vm.Running && slices.ContainsFunc(vm.Cards, func(a inventory.Attachment) bool {
		return !a.Pending && len(a.Cards) == 1 && a.Cards[0] == card
	})
}
