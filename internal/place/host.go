package place

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// CheckHost judges whether a host is there and can be asked.
func CheckHost(s *inventory.Snapshot, name string) finding.Finding {
	f := finding.New(finding.HostOffline, finding.Fail, at(s, name))
	host := s.Host(name)
	switch {
	case host == nil:
		f.ID, f.Reason = finding.HostUnknown, "there is no host of this name; there are "+hostNames(s)
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
		return "no hosts at all"
	}
	return strings.Join(names, ", ")
}

// gap finds what could not be seen of a host.
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

// unreadable is the finding that part of a host could not be seen. What names
// the part as the backends do: "PCI devices", "storages", "networks", "status".
func unreadable(s *inventory.Snapshot, h *inventory.Host, what string) (f finding.Finding, is bool) {
	why, is := gap(h, what)
	return finding.New(finding.HostUnreadable, finding.Unknown, at(s, h.Name)).
		WithReason(fmt.Sprintf("%s cannot be read: %s", what, why)).
		WithFix("gpuworker check shows which privilege the login lacks"), is
}

// CheckIOMMU judges whether the host has its IOMMU on, by effect: its devices
// are in groups. Where groups are hidden that is left to the hypervisor, unless it
// says that the IOMMU is off.
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
		f.Verdict, f.Reason = finding.Info, fmt.Sprintf("%s does not show whether the IOMMU is on; the hypervisor judges that itself", s.Product)
	case h.IOMMU == inventory.Off:
		f.Verdict, f.Reason = finding.Fail, "the IOMMU is off: no PCI device is in an IOMMU group"
		f.Fix = s.Advise(inventory.SwitchIOMMUOn, inventory.Subject{})
	default:
		f.Verdict, f.Reason = finding.Unknown, "whether the IOMMU is on cannot be seen: the host shows no PCI devices"
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

// CheckNetworks judges the networks of all network cards that there are to be.
func CheckNetworks(s *inventory.Snapshot, h *inventory.Host, nics []inventory.NIC) []finding.Finding {
	var findings []finding.Finding
	for _, nic := range nics {
		if nic.Network != "" {
			findings = append(findings, CheckNetwork(s, h, nic))
		}
	}
	return findings
}

// CheckNetwork judges whether the host has the bridge, and VLANs on it when one
// is wanted.
func CheckNetwork(s *inventory.Snapshot, h *inventory.Host, nic inventory.NIC) finding.Finding {
	f := finding.New(finding.BridgeMissing, finding.Fail, at(s, h.Name))
	bridge := h.Bridge(nic.Network)
	if bridge == nil {
		if f, is := unreadable(s, h, "networks"); is {
			return f
		}
		if right := hides(s, nic.Network); right != nil {
			f.Verdict = finding.Unknown
			f.Reason = fmt.Sprintf("whether there is a bridge %s cannot be seen: the login lacks %s on %s, and %s shows only bridges that it may use",
				nic.Network, right.Privilege, right.Path, s.Product)
			f.Fix = "gpuworker role -f FILE prints the commands that make the right login"
			return f
		}
		f.Reason = fmt.Sprintf("the host has no bridge %s; it has %s", nic.Network, bridgeNames(h))
		f.Fix = "correct the name in spec.networks, or make the bridge on the host"
		return f
	}
	if nic.VLAN != 0 && !bridge.VLANAware {
		f.ID, f.Reason = finding.BridgeNotAware, fmt.Sprintf("bridge %s is not VLAN aware, and VLAN %d is wanted", nic.Network, nic.VLAN)
		f.Fix = fmt.Sprintf("set bridge-vlan-aware on %s, or leave vlan out of spec.networks", nic.Network)
		return f
	}
	f.Verdict, f.Reason = finding.Pass, "bridge "+nic.Network
	if nic.VLAN != 0 {
		f.Reason += fmt.Sprintf(", VLAN %d", nic.VLAN)
	}
	return f
}

// hides finds the privilege whose want keeps a bridge from being seen; nil when
// none does.
func hides(s *inventory.Snapshot, bridge string) *inventory.Right {
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

// reserveMiB is kept free on a host beside the memory of its VMs: what a start
// itself needs, so that the host is not driven into its last page.
const reserveMiB = 512

// CheckMemory judges whether a VM of so many MiB still finds its memory on the
// host. promisedMiB was given away by the plan already, freedMiB comes back
// before the VM starts. A VM with a card pins all of its memory, so a host is
// never filled by more than it has.
func CheckMemory(s *inventory.Snapshot, h *inventory.Host, neededMiB, promisedMiB, freedMiB int) finding.Finding {
	f := finding.New(finding.MemoryShort, finding.Fail, at(s, h.Name))
	if h.MemoryTotal == 0 {
		if f, is := unreadable(s, h, "status"); is {
			return f
		}
	}
	free := h.MemoryTotal - h.MemoryUsed - int64(promisedMiB-freedMiB)*mib
	used := memoryUsed(h)
	if promisedMiB > 0 {
		used += fmt.Sprintf(", %s promised in this plan", phrase.Bytes(int64(promisedMiB)*mib))
	}
	if free < int64(neededMiB+reserveMiB)*mib {
		f.Reason = fmt.Sprintf("%s wanted and %s kept in reserve, %s free (%s)",
			phrase.Bytes(int64(neededMiB)*mib), phrase.Bytes(reserveMiB*mib), phrase.Bytes(max(free, 0)), used)
		f.Fix = "stop or move other VMs, or lower spec.machine.memory"
		return f
	}
	f.Verdict, f.Reason = finding.Pass, used
	return f
}

func memoryUsed(h *inventory.Host) string {
	used, total := phrase.Bytes(h.MemoryUsed), phrase.Bytes(h.MemoryTotal)
	return "memory " + strings.TrimSuffix(used, " GiB") + " of " + total + " used"
}

// CheckCPUs judges whether the host has as many CPUs as the VM gets cores: one
// with more never starts (PVE::QemuServer, config_to_command).
func CheckCPUs(s *inventory.Snapshot, h *inventory.Host, cores int) finding.Finding {
	if h.CPUs == 0 {
		if f, is := unreadable(s, h, "status"); is {
			return f
		}
	}
	f := finding.New(finding.CPUShort, finding.Pass, at(s, h.Name)).WithReason(fmt.Sprintf("%d cores of %d CPUs", cores, h.CPUs))
	if cores > h.CPUs {
		f.Verdict, f.Reason = finding.Fail, fmt.Sprintf("%d cores wanted, the host has %d CPUs", cores, h.CPUs)
		f.Fix = "lower spec.machine.cores"
	}
	return f
}
