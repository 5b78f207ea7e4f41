package check

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// checkDevices reports the devices that could not be read.
func checkDevices(f *facts) []Finding {
	if f.pciErr != nil {
		return one(found(finding.HostDeviceUnreadable, finding.Unknown, "the PCI devices of this host could not be listed").
			see(Evidence{File: "/sys/bus/pci/devices", Says: why(f.pciErr)}).
			fix("check that /sys is mounted, and that --root names the top of a host's tree"))
	}
	var odd []Finding
	for _, name := range f.pci.Odd {
		odd = append(odd, found(finding.HostDeviceUnreadable, finding.Unknown, "an entry of the list of devices is not a PCI address").
			see(Evidence{File: "/sys/bus/pci/devices", Says: trim(name)}).
			fix("the device is ignored; report it with gpuworker-host capture"))
	}
	for i := range f.pci.Functions {
		odd = append(odd, f.oddFunction(&f.pci.Functions[i])...)
	}
	if len(odd) == 0 {
		return one(found(finding.HostDeviceUnreadable, finding.Pass, fmt.Sprintf("all %d PCI functions could be read", len(f.pci.Functions))))
	}
	return odd
}

// deciding are the attributes that identify a device and its group. Others are
// reported by the checks that need them.
var deciding = []string{".", "class", "vendor", "device", "driver", "iommu_group"}

func (f *facts) oddFunction(function *hostpci.Function) []Finding {
	missing := maps.Clone(function.Unreadable)
	if function.Class == 0 && function.ID.IsZero() && len(missing) == 0 {
		missing = map[string]string{"class": "does not exist"}
	}
	var evidence []Evidence
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if slices.Contains(deciding, name) {
			evidence = append(evidence, Evidence{File: path.Join("/sys/bus/pci/devices", function.BDF.String(), name), Says: trim(missing[name])})
		}
	}
	if len(evidence) == 0 {
		return nil
	}
	reason := fmt.Sprintf("the kind or the IOMMU group of the device at %s could not be read", function.BDF)
	return one(found(finding.HostDeviceUnreadable, finding.Unknown, reason).see(evidence...).
		fix(f.seeMore + "; if that does not help, look for the address in dmesg"))
}

// iommuOn reports whether the IOMMU is on, by the same test as Proxmox:
// /sys/class/iommu is not empty. known is false when it could not be read.
func (f *facts) iommuOn() (on, known bool) {
	return len(f.iommus.names) > 0, f.iommus.err == nil || !f.iommus.hidden() && f.pciErr == nil
}

// table is the ACPI table that describes the IOMMU: DMAR (Intel), IVRS (AMD) or
// IORT (arm64); "" without one.
func (f *facts) table() string {
	for _, name := range []string{"DMAR", "IVRS", "IORT"} {
		if slices.ContainsFunc(f.tables.names, func(table string) bool { return strings.HasPrefix(table, name) }) {
			return name
		}
	}
	return ""
}

// checkFirmware is condition 1: the IOMMU is off in the firmware.
func checkFirmware(f *facts) []Finding {
	on, known := f.iommuOn()
	table := f.table()
	base := func(v finding.Verdict, reason string) Finding {
		return found(finding.HostIOMMUOffFirmware, v, reason).see(f.iommus.evidence(), f.tables.evidence())
	}
	switch {
	case on:
		return one(found(finding.HostIOMMUOffFirmware, finding.Pass, "the firmware has an IOMMU, and it is on").see(f.iommus.evidence()))
	case table != "":
		return one(base(finding.Pass, "the firmware offers an IOMMU: "+table))
	case !known || f.tables.err != nil:
		return one(base(finding.Unknown, "it is not known whether the firmware offers an IOMMU").
			fix(f.seeMore + "; otherwise look for VT-d or AMD-Vi in the firmware setup"))
	}
	return one(base(finding.Fail, "the firmware offers no IOMMU: VT-d or AMD-Vi is off, or the board has none").
		fix("in the firmware setup enable VT-d (Intel) or AMD-Vi / IOMMU (AMD), then restart the host").
		then("/sys/firmware/acpi/tables has DMAR or IVRS, and /sys/class/iommu has dmar0 or ivhd0"))
}

// checkRMRR is condition 13: the firmware reserves memory for itself that the card's
// group must be able to access.
func checkRMRR(f *facts, card hostpci.Card) []Finding {
	for _, group := range groupsOf(card) {
		file := read(f.tree, path.Join("sys/kernel/iommu_groups", strconv.Itoa(group), "reserved_regions"))
		regions := directRegions(file.body)
		switch {
		case len(regions) > 0:
			bad := found(finding.HostRMRR, finding.Fail, "the firmware reserves memory that the card must access (RMRR), so the kernel refuses to give the card to a VM").
				see(file.line(regions[0])).
				fix("in the vendor's firmware tools disable shared memory features for this slot, or use another slot").
				then("reserved_regions has no line of type direct")
			if line, logged := f.logged("RMRR requirement"); logged {
				bad = bad.see(line)
			}
			return one(bad)
		case file.hidden():
			return one(found(finding.HostRMRR, finding.Unknown, "it is not known whether the firmware reserves memory for the card").see(file.evidence()))
		case file.absent():
			return one(found(finding.HostRMRR, finding.Unknown, "this kernel does not show which memory the firmware reserves").see(file.evidence()))
		}
	}
	return one(found(finding.HostRMRR, finding.Pass, "the firmware reserves no memory for the card"))
}

// groupsOf returns the IOMMU groups of a card's functions.
func groupsOf(card hostpci.Card) []int {
	var groups []int
	for _, f := range card.Functions {
		if f.Group != pci.NoGroup && !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	return groups
}
