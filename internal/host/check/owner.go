package check

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
)

func driverFile(f *hostpci.Function) string {
	return "/sys/bus/pci/devices/" + f.BDF.String() + "/driver"
}

func driverSays(f *hostpci.Function) Evidence {
	if f.Driver == "" {
		return Evidence{File: driverFile(f), Says: "does not exist"}
	}
	return Evidence{File: driverFile(f), Says: trim(f.Driver)}
}

func bindFix(f *hostpci.Function) string {
	return "gpuworker-host bind " + f.BDF.String() + " --yes"
}

// checkDriver is condition 8: a driver of the host has the card.
func checkDriver(f *facts, card hostpci.Card) []Finding {
	main := card.Main()
	next := f.ownerNext(main)
	switch odd, unknown := driverUnknown(main); {
	case unknown:
		return one(found(finding.HostDriverOwns, finding.Unknown, "it is not known which driver has the card").see(odd))
	case !hostpci.ForVMs(main.Driver):
		bad := found(finding.HostDriverOwns, finding.Fail, trim(main.Driver)+" has the card").after(next.verdict).see(driverSays(main)).see(next.evidence...).
			fix(bindFix(main)).then(driverFile(main) + " is vfio-pci, or does not exist")
		if next.verdict == finding.Pass {
			bad.Reason += "; after the next reboot it is free: " + next.because
			bad.Fix = "reboot, or at once: " + bindFix(main)
		}
		return one(bad)
	case isWithheld(main):
		return one(found(finding.HostDriverOwns, finding.Fail, "driver_override allows only "+trim(main.Override)+", so the kernel refuses vfio-pci when a VM starts").
			after(next.verdict).see(overrideSays(main)).see(next.evidence...).fix(bindFix(main)).then(driverFile(main) + " is vfio-pci"))
	}
	name := "no driver has it"
	if main.Driver != "" {
		name = trim(main.Driver) + " has it"
	}
	return one(next.add(found(finding.HostDriverOwns, finding.Pass, name).see(driverSays(main)), bindFix(main)))
}

// isWithheld reports whether a function has no VFIO driver and its override allows
// only another driver: the kernel then offers it to no other one
// (Documentation/ABI/testing/sysfs-bus-pci, driver_override).
func isWithheld(f *hostpci.Function) bool {
	return f.Override != "" && !hostpci.OfVFIO(f.Override) && !hostpci.OfVFIO(f.Driver)
}

func overrideSays(f *hostpci.Function) Evidence {
	return Evidence{File: path.Join(path.Dir(driverFile(f)), "driver_override"), Says: trim(f.Override)}
}

// driverUnknown reports whether the driver of a function cannot be determined. While
// an unbind hangs, the link to the driver is already gone, but the driver still has
// the function. This shows in that the override cannot be read (seen on Linux 6.1).
func driverUnknown(f *hostpci.Function) (why Evidence, unknown bool) {
	if odd, unreadable := f.Unreadable["driver"]; unreadable {
		return Evidence{File: driverFile(f), Says: trim(odd)}, true
	}
	odd, unreadable := f.Unreadable["driver_override"]
	return Evidence{File: path.Join(path.Dir(driverFile(f)), "driver_override"), Says: trim(odd)}, unreadable && f.Driver == ""
}

// add adds the outlook to a finding that passes now.
func (o outlook) add(pass Finding, fix string) Finding {
	pass = pass.after(o.verdict).see(o.evidence...)
	if o.verdict != finding.Pass {
		pass.Reason += "; after the next reboot: " + o.because
		pass = pass.fix(cmp.Or(o.fix, fix)).then("the same after a reboot")
	}
	return pass
}

// checkSiblings is condition 9: the host still has other functions of the card.
func checkSiblings(f *facts, card hostpci.Card) []Finding {
	main := card.Main()
	if len(card.Functions) == 1 {
		return one(found(finding.HostFunctionsLeft, finding.Pass, "the card has one function only"))
	}
	var left []string
	var evidence []Evidence
	next := outlook{verdict: finding.Pass}
	unknown := false
	for _, sibling := range card.Functions {
		if sibling == main {
			continue
		}
		if odd, not := driverUnknown(sibling); not {
			unknown = true
			evidence = append(evidence, odd)
		}
		switch {
		case !hostpci.ForVMs(sibling.Driver):
			left = append(left, fmt.Sprintf("%s (%s)", sibling.BDF, trim(sibling.Driver)))
			evidence = append(evidence, driverSays(sibling))
		case isWithheld(sibling):
			left = append(left, fmt.Sprintf("%s (driver_override allows only %s)", sibling.BDF, trim(sibling.Override)))
			evidence = append(evidence, overrideSays(sibling))
		}
		next = next.worse(f.ownerNext(sibling))
	}
	switch {
	case len(left) > 0:
		return one(found(finding.HostFunctionsLeft, finding.Fail, "the host still has "+strings.Join(left, ", ")).after(next.verdict).see(evidence...).
			fix(bindFix(main)).then("no function of the slot has a driver other than vfio-pci"))
	case unknown:
		return one(found(finding.HostFunctionsLeft, finding.Unknown, "it is not known which drivers have the other functions").see(evidence...))
	}
	return one(next.add(found(finding.HostFunctionsLeft, finding.Pass, fmt.Sprintf("all %d functions are free", len(card.Functions))), bindFix(main)))
}

// checkDivided is condition 30: virtual functions and vGPU.
func checkDivided(_ *facts, card hostpci.Card) []Finding {
	for _, f := range card.Functions {
		dir := "/sys/bus/pci/devices/" + f.BDF.String()
		switch {
		case f.PhysFn != "":
			return one(found(finding.HostCardDivided, finding.Fail, "it is a virtual function of "+trim(f.PhysFn)).see(Evidence{File: dir + "/physfn", Says: trim(f.PhysFn)}).
				fix("use the address of the whole card, and turn its virtual functions off"))
		case f.VFs > 0:
			return one(found(finding.HostCardDivided, finding.Fail, fmt.Sprintf("it is divided into %d virtual functions", f.VFs)).see(Evidence{File: dir + "/sriov_numvfs", Says: fmt.Sprint(f.VFs)}).
				fix("echo 0 > " + dir + "/sriov_numvfs").then(dir + "/sriov_numvfs is 0"))
		case f.Mediated:
			return one(found(finding.HostCardDivided, finding.Fail, "a vGPU driver manages it").see(Evidence{File: dir, Says: "has mdev_supported_types or nvidia"}).
				fix("remove the vGPU driver of the host, or do not use this card"))
		}
	}
	return one(found(finding.HostCardDivided, finding.Pass, "the card is not divided"))
}

// checkClaims is condition 22: two VMs claim the card.
func checkClaims(f *facts, card hostpci.Card) []Finding {
	var vmids []int
	var evidence []Evidence
	claim := func(vmid int, e Evidence) {
		if !slices.Contains(vmids, vmid) {
			vmids = append(vmids, vmid)
			evidence = append(evidence, e)
		}
	}
	for _, c := range f.vmsOf(card.Slot) {
		claim(c.vm.vmid, c.evidence())
	}
	var others []string
	for _, h := range f.holders.Of(card.Slot) {
		switch {
		case h.VMID != 0:
			claim(h.VMID, Evidence{File: h.By, Says: trim(fmt.Sprintf("VM %d", h.VMID))})
		default:
			others = append(others, trim(fmt.Sprintf("%s (process %d)", h.Name, h.PID)))
			evidence = append(evidence, Evidence{File: h.By, Says: trim(fmt.Sprintf("open in process %d", h.PID))})
		}
	}
	return one(f.claimed(vmids, others, evidence))
}

func (f *facts) claimed(vmids []int, others []string, evidence []Evidence) Finding {
	var names []string
	for _, vmid := range vmids {
		names = append(names, fmt.Sprintf("VM %d", vmid))
	}
	hidden := f.hiddenVMs()
	switch {
	case len(vmids) > 1:
		return found(finding.HostCardClaimed, finding.Fail, strings.Join(names, " and ")+" claim the card").see(firstOf(evidence)...).
			fix("remove it from all but one of them: qm set VMID --delete hostpciN; stopped VMs count too").then("only one VM names the card")
	case len(hidden) > 0:
		return found(finding.HostCardClaimed, finding.Unknown, "it is not known whether two VMs claim the card").see(firstOf(hidden)...).fix(f.seeMore)
	case f.holders.Unseen > 0:
		return found(finding.HostCardClaimed, finding.Unknown, "it is not known who else uses the card: "+trim(f.holders.Blind())).
			see(firstOf(evidence)...).fix(f.seeMore)
	case len(names)+len(others) > 0:
		return found(finding.HostCardClaimed, finding.Info, "used by "+strings.Join(append(names, others...), ", ")).see(firstOf(evidence)...)
	}
	if !f.proxmox {
		return found(finding.HostCardClaimed, finding.Pass, "no process uses the card; stopped VMs are checked on Proxmox only")
	}
	return found(finding.HostCardClaimed, finding.Pass, "no VM claims the card")
}

// hiddenVMs returns the VM configurations and mappings that could not be read.
func (f *facts) hiddenVMs() []Evidence {
	var hidden []Evidence
	if f.vmDir.hidden() || f.proxmox && f.vmDir.err != nil { // without pmxcfs, /etc/pve is empty
		hidden = append(hidden, f.vmDir.evidence())
	}
	if f.mapFile.hidden() {
		hidden = append(hidden, f.mapFile.evidence())
	}
	for _, vm := range f.vms {
		if vm.file.hidden() {
			hidden = append(hidden, vm.file.evidence())
		}
	}
	return hidden
}

// checkConsole is condition 34: the card is the host's only screen.
func checkConsole(f *facts, card hostpci.Card) []Finding {
	main := card.Main()
	// A 3D controller (0302) has no outputs, and a card without a driver of the host
	// shows no picture.
	another := slices.ContainsFunc(f.pci.Functions, func(fn hostpci.Function) bool {
		return fn.BDF.Slot != card.Slot && fn.IsDisplay() && fn.Class.Code() != 0x0302 && !hostpci.ForVMs(fn.Driver)
	})
	if main.BootVGA && !another {
		return one(found(finding.HostOnlyConsole, finding.Info, "it has the only screen of this host, which stays dark once a VM has the card").
			see(Evidence{File: "/sys/bus/pci/devices/" + main.BDF.String() + "/boot_vga", Says: "1"}).
			fix("make sure that you reach the host by SSH, BMC or serial console"))
	}
	return one(found(finding.HostOnlyConsole, finding.Pass, "the host has another screen, or none"))
}
