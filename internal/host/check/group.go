package check

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// checkHasGroup finds cards that are in no IOMMU group.
func checkHasGroup(f *facts, card hostpci.Card) []Finding {
	for _, function := range card.Functions {
		file := "/sys/bus/pci/devices/" + function.BDF.String() + "/iommu_group"
		odd, unreadable := function.Unreadable["iommu_group"]
		switch {
		case unreadable:
			return one(found(finding.HostNoGroup, finding.Unknown, "the IOMMU group of "+function.BDF.String()+" could not be read").see(Evidence{File: file, Says: trim(odd)}))
		case function.Group == pci.NoGroup:
			if on, _ := f.iommuOn(); !on {
				return one(found(finding.HostNoGroup, finding.Unknown, "no group, and it is not known whether the IOMMU is on").see(Evidence{File: file, Says: "does not exist"}))
			}
			return one(found(finding.HostNoGroup, finding.Fail, function.BDF.String()+" is in no IOMMU group, although the IOMMU is on: this slot is not behind it").
				see(Evidence{File: file, Says: "does not exist"}).fix("use another slot, or look for newer firmware").then(file + " exists"))
		}
	}
	return one(found(finding.HostNoGroup, finding.Pass, "in IOMMU group "+strings.Join(groupNames(card), " and ")))
}

func groupNames(card hostpci.Card) []string {
	var names []string
	for _, group := range groupsOf(card) {
		names = append(names, strconv.Itoa(group))
	}
	return names
}

// checkForeign is condition 10: another device is in the card's group.
func checkForeign(f *facts, card hostpci.Card) []Finding {
	if len(groupsOf(card)) == 0 {
		return nil
	}
	var names []string
	var evidence []Evidence
	for _, mate := range f.pci.Mates(card) {
		names = append(names, mateText(mate))
		evidence = append(evidence, Evidence{File: fmt.Sprintf("/sys/kernel/iommu_groups/%d/devices", mate.Group), Says: mate.BDF.String() + " " + mate.Class.String()})
	}
	unseen, doubts := f.unlisted(card)
	for _, name := range unseen {
		names = append(names, trim(name))
	}
	switch {
	case len(names) > 0:
		return one(found(finding.HostGroupForeign, finding.Fail, "shares IOMMU group "+strings.Join(groupNames(card), ", ")+" with "+phrase.Several(names)).
			see(firstOf(evidence)...).
			fix("use another slot for one of them, or enable ACS in the firmware; a VM with the card would take them all from the host").
			then("the group contains only the card and bridges"))
	case len(doubts) > 0:
		return one(found(finding.HostGroupForeign, finding.Unknown, "it is not known whether another device shares the group").see(firstOf(doubts)...).fix(f.seeMore))
	}
	return one(found(finding.HostGroupForeign, finding.Pass, "the card is alone in its group, except for bridges"))
}

// firstOf limits the evidence to a few lines.
func firstOf(evidence []Evidence) []Evidence {
	const few = 8
	return evidence[:min(few, len(evidence))]
}

func mateText(f *hostpci.Function) string {
	name := f.ShortName()
	if name == "" {
		name = f.Class.Noun()
	}
	text := trim(f.BDF.String() + " " + name)
	if f.Driver != "" {
		text += " (" + trim(f.Driver) + ")"
	}
	return text
}

// unlisted returns the members of the card's groups that are not among the known
// functions. doubts are lists and devices that could not be read, so that a member
// may be missing.
func (f *facts) unlisted(card hostpci.Card) (names []string, doubts []Evidence) {
	for _, group := range groupsOf(card) {
		members := readDir(f.tree, path.Join("sys/kernel/iommu_groups", strconv.Itoa(group), "devices"))
		if members.err != nil {
			doubts = append(doubts, members.evidence())
		}
		for _, name := range members.names {
			bdf, err := pci.ParseBDF(name)
			if err != nil || f.pci.Function(bdf) == nil {
				names = append(names, name)
			}
		}
	}
	for i := range f.pci.Functions {
		other := &f.pci.Functions[i]
		for _, attribute := range []string{"iommu_group", "."} {
			if says, odd := other.Unreadable[attribute]; odd {
				doubts = append(doubts, Evidence{File: path.Join("/sys/bus/pci/devices", other.BDF.String(), attribute), Says: trim(says)})
			}
		}
	}
	return names, doubts
}

// checkBridges is condition 11: bridges in the group, which are normal.
func checkBridges(f *facts, card hostpci.Card) []Finding {
	var bridges, dummies []string
	groups := groupsOf(card)
	for i := range f.pci.Functions {
		other := &f.pci.Functions[i]
		if !slices.Contains(groups, other.Group) || other.BDF.Slot == card.Slot || !other.Class.IsBridge() && !other.Bus {
			continue
		}
		bridges = append(bridges, other.BDF.String())
		if !other.Bus {
			dummies = append(dummies, other.BDF.String())
		}
	}
	switch {
	case len(dummies) > 0:
		return one(found(finding.HostGroupBridge, finding.Info, phrase.Several(dummies)+" in the group is a bridge without a bus behind it; Proxmox would try to bind it too").
			see(Evidence{File: "/sys/bus/pci/devices/" + dummies[0] + "/pci_bus", Says: "does not exist"}))
	case len(bridges) > 0:
		return one(found(finding.HostGroupBridge, finding.Info, phrase.Several(bridges)+" in the group is a bridge, which is normal").
			see(Evidence{File: "/sys/bus/pci/devices/" + bridges[0] + "/pci_bus", Says: "exists"}))
	}
	return one(found(finding.HostGroupBridge, finding.Pass, "no bridge is in the group"))
}

// checkACS is condition 12: pcie_acs_override makes the groups unreliable.
func checkACS(f *facts) []Finding {
	now, next := f.boot.now.pick("pcie_acs_override"), f.boot.next.pick("pcie_acs_override")
	after, reason := finding.Pass, "the groups are those of the hardware"
	if len(next) > 0 || !f.boot.known() {
		after = finding.Unknown
	}
	switch {
	case len(now) > 0:
		return one(found(finding.HostACSOverride, finding.Unknown, "pcie_acs_override makes the kernel treat devices as isolated; whether the hardware isolates them is not known").
			after(after).see(f.boot.running.line(now[0])).fix(f.boot.dropOption(now[0])).then("the groups are those of the hardware"))
	case !f.boot.running.ok():
		return one(found(finding.HostACSOverride, finding.Unknown, "the kernel's command line could not be read").see(f.boot.running.evidence()))
	case len(next) > 0:
		return one(found(finding.HostACSOverride, finding.Pass, reason+"; after the next reboot they are not").
			after(after).see(f.boot.effective.line(next[0])).fix(f.boot.dropOption(next[0])))
	case !f.boot.known():
		reason += "; the command line of the next boot could not be read"
	}
	return one(found(finding.HostACSOverride, finding.Pass, reason).after(after))
}

// classNVSwitch is the class of NVIDIA's switches between GPUs: "other bridge".
const classNVSwitch = 0x0680

// behindHiddenSwitch are the models that are only on boards with NVSwitches of the
// fourth generation: B200, B300, GB200, GB300. Those switches are managed through
// network cards and are not on the PCI bus (NVIDIA Fabric Manager User Guide).
var behindHiddenSwitch = []uint16{0x2901, 0x3182, 0x2941, 0x31c2, 0x31c3}

// checkNVSwitch is condition 29: GPUs that are connected by NVSwitch.
func checkNVSwitch(f *facts, card hostpci.Card) []Finding {
	for i := range f.pci.Functions {
		other := &f.pci.Functions[i]
		if other.ID.Vendor == pci.VendorNVIDIA && other.Class.Code() == classNVSwitch && card.Main().ID.Vendor == pci.VendorNVIDIA {
			return one(found(finding.HostNVSwitch, finding.Fail, "this is an HGX or DGX board: NVSwitch connects its GPUs, and CUDA does not start on one of them alone").
				see(Evidence{File: "/sys/bus/pci/devices/" + other.BDF.String() + "/class", Says: other.Class.String()}).
				fix("give the whole board to one VM, or run Kubernetes on the host itself; gpuworker does not create fabric partitions"))
		}
	}
	if main := card.Main(); main.ID.Vendor == pci.VendorNVIDIA && slices.Contains(behindHiddenSwitch, main.ID.Device) {
		return one(found(finding.HostNVSwitch, finding.Unknown, "cards of this model are on boards whose NVSwitch is not visible to the host: it is not known whether CUDA starts on one card alone").
			see(Evidence{File: "/sys/bus/pci/devices/" + main.BDF.String() + "/device", Says: main.ID.String()}).
			fix("read the Fabric Manager guide for this board: without a partition for the card, CUDA does not start in the VM"))
	}
	return one(found(finding.HostNVSwitch, finding.Pass, "no NVSwitch is in this host"))
}
