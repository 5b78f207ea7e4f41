package place

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// CheckHost checks whether a host exists and is online.
func CheckHost(s *inventory.Snapshot, name string) finding.Finding {
	f := finding.New(finding.HostOffline, finding.Fail, at(s, name))
	host := s.Host(name)
	switch {
	case host == nil:
		f.ID, f.Reason = finding.HostUnknown, "there is no host of this name; the hypervisor has "+hostNames(s)
		f.Fix = "correct the name in the document: gpuworker hosts"
	case !host.Online:
		f.Reason = "the host is offline" + gapReason(host, "everything")
		f.Fix = "bring the host back, then run the same command again"
	default:
		f.Verdict, f.Reason = finding.Pass, "online"
	}
	return f
}

func hostNames(s *inventory.Snapshot) string {
	var names []string
	for _, h := range s.Hosts {
		names = append(names, h.Name)
	}
	if len(names) == 0 {
		return "no hosts"
	}
	return strings.Join(names, ", ")
}

// gap says why a part of a host could not be read; ok is false when it could.
func gap(h *inventory.Host, what string) (why string, ok bool) {
	i := slices.IndexFunc(h.Gaps, func(g inventory.Gap) bool { return g.What == what })
	if i < 0 {
		return "", false
	}
	return h.Gaps[i].Why, true
}

func gapReason(h *inventory.Host, what string) string {
	if why, ok := gap(h, what); ok {
		return ": " + why
	}
	return ""
}

// unreadable is the finding that a part of a host could not be read. what is the
// backends' name of the part: "PCI devices", "storages", "networks", "status".
func unreadable(s *inventory.Snapshot, h *inventory.Host, what string) (f finding.Finding, is bool) {
	why, is := gap(h, what)
	return finding.New(finding.HostUnreadable, finding.Unknown, at(s, h.Name)).
		WithReason(fmt.Sprintf("%s cannot be read: %s", what, why)).
		WithFix("gpuworker check shows which privilege the login lacks"), is
}

// CheckIOMMU checks whether the IOMMU of the host is on, by its effect: the devices
// are in groups. Where groups are hidden, only an IOMMU that the hypervisor reports
// as off fails.
func CheckIOMMU(s *inventory.Snapshot, h *inventory.Host) finding.Finding {
	if f, is := unreadable(s, h, "PCI devices"); is {
		return f
	}
	f := finding.New(finding.HostIOMMUOff, finding.Unknown, at(s, h.Name))
	hidden := s.Capabilities.HidesGroups
	switch {
	case h.IOMMU == inventory.On && hidden:
		f.Verdict, f.Reason = finding.Pass, "IOMMU on"
	case h.IOMMU == inventory.On:
		f.Verdict, f.Reason = finding.Pass, fmt.Sprintf("IOMMU on, %d groups", len(groups(h)))
	case h.IOMMU != inventory.Off && hidden:
		f.Verdict, f.Reason = finding.Info, fmt.Sprintf("%s does not show whether the IOMMU is on; the hypervisor checks this itself", s.Product)
	case h.IOMMU == inventory.Off:
		f.Verdict, f.Reason = finding.Fail, "the IOMMU is off: no PCI device is in an IOMMU group"
		f.Fix = s.Advise(inventory.SwitchIOMMUOn, inventory.Subject{})
	default:
		f.Verdict, f.Reason = finding.Unknown, "it is not known whether the IOMMU is on: the host shows no PCI devices"
		f.Fix = on(h.Name, "ls /sys/kernel/iommu_groups")
	}
	return f
}

func groups(h *inventory.Host) map[int]bool {
	all := map[int]bool{}
	for _, d := range h.Devices {
		for _, f := range d.Functions {
			if f.Group >= 0 {
				all[f.Group] = true
			}
		}
	}
	return all
}

// CheckNetworks checks the networks of all declared network cards.
func CheckNetworks(s *inventory.Snapshot, h *inventory.Host, nics []inventory.NIC) []finding.Finding {
	var findings []finding.Finding
	for _, nic := range nics {
		if nic.Network != "" {
			findings = append(findings, CheckNetwork(s, h, nic))
		}
	}
	return findings
}

// CheckNetwork checks whether the host has the bridge, VLAN aware if a VLAN is
// declared.
func CheckNetwork(s *inventory.Snapshot, h *inventory.Host, nic inventory.NIC) finding.Finding {
	f := finding.New(finding.BridgeMissing, finding.Fail, at(s, h.Name))
	bridge := h.Bridge(nic.Network)
	if bridge == nil {
		if f, is := unreadable(s, h, "networks"); is {
			return f
		}
		if right := missingRight(s, nic.Network); right != nil {
			f.Verdict = finding.Unknown
			f.Reason = fmt.Sprintf("it is not known whether bridge %s exists: the login lacks %s on %s, and %s shows only bridges that the login may use",
				nic.Network, right.Privilege, right.Path, s.Product)
			f.Fix = "gpuworker role -f FILE prints the commands that make the right login"
			return f
		}
		f.Reason = fmt.Sprintf("the host has no bridge %s; it has %s", nic.Network, bridgeNames(h))
		f.Fix = "correct the name in spec.networks, or make the bridge on the host"
		return f
	}
	if nic.VLAN != 0 && !bridge.VLANAware {
		f.ID, f.Reason = finding.BridgeNotAware, fmt.Sprintf("bridge %s is not VLAN aware, but VLAN %d is declared", nic.Network, nic.VLAN)
		f.Fix = fmt.Sprintf("set bridge-vlan-aware on %s, or leave vlan out of spec.networks", nic.Network)
		return f
	}
	f.Verdict, f.Reason = finding.Pass, "bridge "+nic.Network
	if nic.VLAN != 0 {
		f.Reason += fmt.Sprintf(", VLAN %d", nic.VLAN)
	}
	return f
}

// missingRight finds the missing privilege without which the bridge is hidden from
// the login; nil when there is none.
func missingRight(s *inventory.Snapshot, bridge string) *inventory.Right {
	i := slices.IndexFunc(s.Missing, func(r inventory.Right) bool {
		return r.Privilege == "SDN.Use" && strings.HasSuffix(r.Path, "/"+bridge)
	})
	if i < 0 {
		return nil
	}
	return &s.Missing[i]
}

func bridgeNames(h *inventory.Host) string {
	var names []string
	for _, b := range h.Bridges {
		names = append(names, b.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// reserveMiB is memory that stays free on a host besides that of its VMs: starting
// a VM itself needs memory, and the host must not run out of it.
const reserveMiB = 512

// CheckMemory checks whether the host has enough memory for a VM. allocatedMiB is
// what the plan has allocated before, freedMiB is freed before the VM starts. A VM
// with a card pins all of its memory, so memory is never overcommitted.
func CheckMemory(s *inventory.Snapshot, h *inventory.Host, neededMiB, allocatedMiB, freedMiB int) finding.Finding {
	f := finding.New(finding.MemoryShort, finding.Fail, at(s, h.Name))
	if h.MemoryTotal == 0 {
		if f, is := unreadable(s, h, "status"); is {
			return f
		}
	}
	free := h.MemoryTotal - h.MemoryUsed - int64(allocatedMiB-freedMiB)*mib
	used := memoryUsed(h)
	if allocatedMiB > 0 {
		used += fmt.Sprintf(", %s planned for other workers", phrase.Bytes(int64(allocatedMiB)*mib))
	}
	if free < int64(neededMiB+reserveMiB)*mib {
		f.Reason = fmt.Sprintf("%s needed plus %s in reserve, %s free (%s)",
			phrase.Bytes(int64(neededMiB)*mib), phrase.Bytes(reserveMiB*mib), phrase.Bytes(max(free, 0)), used)
		f.Fix = "stop or move other VMs, or lower spec.machine.memory"
		return f
	}
	f.Verdict, f.Reason = finding.Pass, used
	return f
}

func memoryUsed(h *inventory.Host) string {
	used, total := phrase.Bytes(h.MemoryUsed), phrase.Bytes(h.MemoryTotal)
	return "host memory " + strings.TrimSuffix(used, " GiB") + " of " + total + " used"
}

// CheckCPUs checks whether the host has at least as many CPUs as the VM has cores: a
// VM with more does not start (PVE::QemuServer, config_to_command).
func CheckCPUs(s *inventory.Snapshot, h *inventory.Host, cores int) finding.Finding {
	if h.CPUs == 0 {
		if f, is := unreadable(s, h, "status"); is {
			return f
		}
	}
	f := finding.New(finding.CPUShort, finding.Pass, at(s, h.Name)).WithReason(fmt.Sprintf("%d cores of %d CPUs", cores, h.CPUs))
	if cores > h.CPUs {
		f.Verdict, f.Reason = finding.Fail, fmt.Sprintf("%d cores needed, the host has %d CPUs", cores, h.CPUs)
		f.Fix = "lower spec.machine.cores"
	}
	return f
}
