package check

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
)

// checkQ35 is condition 23: the VM is not a q35 machine.
func checkQ35(f *facts, card hostpci.Card) []Finding {
	for _, c := range f.vmsOf(card.Slot) {
		machine := property(c.vm.values["machine"], "type", "type")
		if property(c.device.value, "pcie", "") == "1" && !strings.Contains(machine, "q35") {
			return one(found(finding.HostVMNotQ35, finding.Fail, fmt.Sprintf("VM %d uses the card as a PCI Express device (pcie=1) but is not a q35 machine", c.vm.vmid)).see(c.evidence(), c.vm.machine()).
				fix(fmt.Sprintf("qm set %d --machine q35", c.vm.vmid)).then("the configuration has machine: q35"))
		}
	}
	return one(found(finding.HostVMNotQ35, finding.Pass, "all VMs that need q35 for the card have it"))
}

// machine is the evidence for the kind of machine.
func (v vmConf) machine() Evidence {
	if v.values["machine"] == "" {
		return v.file.line("has no machine: line, which means i440fx")
	}
	return v.file.line("machine: " + v.values["machine"])
}

// checkHidden is condition 32: the VM hides from its guest that it is a VM.
func checkHidden(f *facts, card hostpci.Card) []Finding {
	for _, c := range f.vmsOf(card.Slot) {
		line := ""
		switch {
		case property(c.vm.values["cpu"], "hidden", "") == "1":
			line = "cpu: " + c.vm.values["cpu"]
		case strings.Contains(c.vm.values["args"], "kvm=off"):
			line = "args: … kvm=off …"
		case property(c.device.value, "x-vga", "") == "1":
			line = c.device.key + ": " + c.device.value
		default:
			continue
		}
		return one(found(finding.HostVMHidesKVM, finding.Info, fmt.Sprintf("VM %d hides that it is a VM, which Linux guests and new drivers do not need", c.vm.vmid)).
			see(c.vm.file.line(line)).fix("remove it: hidden=1, kvm=off or x-vga=1"))
	}
	return one(found(finding.HostVMHidesKVM, finding.Pass, "no VM with the card hides that it is a VM"))
}
