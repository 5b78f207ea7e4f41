package check

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// checkRecords is the part of condition 33 that belongs to no card: mappings and VMs
// that name an address without a device.
func checkRecords(f *facts) []Finding {
	if f.pciErr != nil {
		return nil
	}
	var gone []Finding
	add := func(slot pci.Slot, holder string, e Evidence) {
		if len(f.pci.Slot(slot)) == 0 {
			gone = append(gone, found(finding.HostCardMoved, finding.Fail, fmt.Sprintf("%s names %s, but this host has no device there", holder, slot)).see(e).
				fix("gpuworker-host list shows where the cards are now; correct "+holder).then(holder+" names an address with a device"))
		}
	}
	for _, m := range f.mappings {
		add(m.slot, "the mapping "+trim(m.name), f.mapFile.line(m.name+" path="+m.path))
	}
	for _, vm := range f.vms {
		for _, d := range vm.devices() {
			for _, slot := range d.slots {
				add(slot, fmt.Sprintf("VM %d", vm.vmid), vm.file.line(d.key+": "+d.value))
			}
		}
	}
	if len(gone) == 0 {
		return one(found(finding.HostCardMoved, finding.Pass, "all addresses in mappings and VMs have a device"))
	}
	return gone
}

// checkIdentity is condition 33: the card at this address is not the one in a record
// of the host.
func checkIdentity(f *facts, card hostpci.Card) []Finding {
	main := card.Main()
	for _, m := range f.mappings {
		if m.slot != card.Slot {
			continue
		}
		if differs := m.differs(f.mapped(m, main)); differs != "" {
			return one(found(finding.HostCardMoved, finding.Fail, fmt.Sprintf("the mapping %s is for another card: %s", trim(m.name), differs)).
				see(f.mapFile.line("map "+m.describe()), Evidence{File: "/sys/bus/pci/devices/" + main.BDF.String(), Says: fmt.Sprintf("%s, subsystem %s, group %d", main.ID, main.SubsystemID, main.Group)}).
				fix("gpuworker-host list shows which card this is now; correct the mapping").then("ID, subsystem and group of the mapping are those of the card"))
		}
	}
	if moved, is := f.movedFromOurs(card); is {
		return one(moved)
	}
	if f.mapFile.hidden() {
		return one(found(finding.HostCardMoved, finding.Unknown, "it is not known whether the mappings are for this card").see(f.mapFile.evidence()).fix(f.seeMore))
	}
	return one(found(finding.HostCardMoved, finding.Pass, "the records of this host are for this card"))
}

// movedFromOurs compares the card with the record and the journal of bind.
func (f *facts) movedFromOurs(card hostpci.Card) (Finding, bool) {
	o, now := f.oursOf(card.Slot), f.fingerprint(card.Slot)
	differs, from := "", o.record
	if o.record.ok() && o.recordErr == nil {
		differs = o.card.Differs(now)
	}
	if differs == "" && o.journal != nil {
		differs, from = o.journal.Card.Differs(now), text{name: hostbind.JournalFile(card.Slot)}
	}
	if differs == "" {
		return Finding{}, false
	}
	bdf := card.Main().BDF
	return found(finding.HostCardMoved, finding.Fail, "the record of gpuworker-host is for another card: "+trim(differs)).see(from.line(differs)).
		fix(fmt.Sprintf("gpuworker-host list shows which card this is now; gpuworker-host unbind %s --yes removes the record and touches no driver, bind writes a new one", bdf)), true
}

// mapped returns the function that a mapping names, or the GPU when it names the
// whole slot.
func (f *facts) mapped(m mapped, main *hostpci.Function) *hostpci.Function {
	if bdf, err := pci.ParseBDF(m.path); err == nil {
		if function := f.pci.Function(bdf); function != nil {
			return function
		}
	}
	return main
}

// differs compares a mapping with a function as Proxmox does at each start of a VM
// (PVE::Mapping::PCI, assert_valid); "" when they match.
func (m mapped) differs(function *hostpci.Function) string {
	if id, err := pci.ParseID(m.id); err == nil && id != function.ID {
		return fmt.Sprintf("ID %s, and here is %s", id, function.ID)
	}
	if id, err := pci.ParseID(m.subID); err == nil && id != function.SubsystemID {
		return fmt.Sprintf("subsystem %s, and here is %s", id, function.SubsystemID)
	}
	if group, err := strconv.Atoi(m.group); err == nil && group != function.Group {
		return fmt.Sprintf("IOMMU group %d, and here is %d", group, function.Group)
	}
	return ""
}

func (m mapped) describe() string {
	return fmt.Sprintf("id=%s,subsystem-id=%s,iommugroup=%s,path=%s", m.id, m.subID, m.group, m.path)
}

// rulesDir is where `gpuworker-host bind` keeps a file for each card that is
// bound at boot, named by its slot.
const rulesDir = hostbind.CardsDir

// readRules reads the records of gpuworker-host.
func (f *facts) readRules() {
	f.rules = map[pci.Slot]text{}
	for _, file := range readAll(f.tree, rulesDir, ".card") {
		slot, err := pci.ParseSlot(strings.TrimSuffix(path.Base(file.name), ".card"))
		if err == nil && file.ok() {
			f.rules[slot] = file
		}
	}
}
