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
)

// framebuffers are the names in /proc/iomem for the framebuffer of the firmware: the
// reservation itself and the simple drivers on it (drivers/firmware/sysfb.c,
// drivers/video/fbdev, drivers/gpu/drm/sysfb of the kernel).
var framebuffers = []string{"BOOTFB", "efifb", "simplefb", "simpledrm", "vesafb", "efidrm", "vesadrm"}

// romIndex is the index of the expansion ROM among the windows.
const romIndex = 6

// memoryBARs returns the memory windows of a function, without the ROM.
func memoryBARs(f *hostpci.Function) []hostpci.BAR {
	return slices.DeleteFunc(slices.Clone(f.BARs), func(b hostpci.BAR) bool { return b.IOPorts || b.Index == romIndex })
}

// checkFramebuffer is condition 14: the boot framebuffer is in the card's memory.
func checkFramebuffer(f *facts, card hostpci.Card) []Finding {
	for _, function := range card.Functions {
		for _, bar := range memoryBARs(function) {
			for _, r := range within(f.regions, bar.Start, bar.Size) {
				if !bar.Unassigned && !f.zeroed && slices.Contains(framebuffers, r.name) {
					return one(f.framebuffer(function, bar, r))
				}
			}
		}
	}
	if !f.iomem.ok() || f.zeroed {
		hidden := found(finding.HostFramebuffer, finding.Unknown, "it is not known whether the boot framebuffer is in the card's memory").see(f.iomem.evidence()).fix(f.seeMore)
		if f.iomem.ok() {
			hidden.Evidence = []Evidence{f.iomem.line("shows its addresses to root only")}
		}
		return one(hidden)
	}
	pass := found(finding.HostFramebuffer, finding.Pass, "no framebuffer is in the card's memory")
	const off = "initcall_blacklist"
	if f.boot.now.has(off, "sysfb_init") && !f.boot.next.has(off, "sysfb_init") && card.Main().BootVGA {
		pass = pass.after(finding.Unknown).fix(f.boot.addOption(off + "=sysfb_init"))
		pass.Reason += "; after the next reboot one may be, because " + off + "=sysfb_init is not on the command line on disk"
	}
	return one(pass)
}

func (f *facts) framebuffer(function *hostpci.Function, bar hostpci.BAR, r region) Finding {
	const option = "initcall_blacklist=sysfb_init"
	line := fmt.Sprintf("%x-%x : %s", r.start, r.end, r.name)
	bad := found(finding.HostFramebuffer, finding.Fail, fmt.Sprintf("%s is in window %d of %s, so vfio-pci cannot take it", trim(r.name), bar.Index, function.BDF)).
		see(f.iomem.line(line)).then("/proc/iomem has no framebuffer in the windows of the card")
	const primary = "make the BMC or the board's own graphics the primary display in the firmware"
	newer, known := atLeast(f.release, 6, 18)
	switch {
	case newer || !known:
		return bad.fix(primary + "; " + option + " is not enough with this kernel")
	case f.boot.now.has("initcall_blacklist", "sysfb_init"):
		return bad.fix(primary + ": " + option + " is set and does not help here")
	case f.boot.next.has("initcall_blacklist", "sysfb_init"):
		return bad.after(finding.Pass).fix("reboot: " + option + " is already in /" + f.boot.effective.name)
	}
	return bad.fix(primary + ", or " + f.boot.addOption(option))
}

// checkBARs is condition 15: a memory window has no address.
func checkBARs(_ *facts, card hostpci.Card) []Finding {
	for _, function := range card.Functions {
		file := "/sys/bus/pci/devices/" + function.BDF.String() + "/resource"
		if odd, unreadable := function.Unreadable["resource"]; unreadable {
			return one(found(finding.HostBARUnassigned, finding.Unknown, "the memory windows of "+function.BDF.String()+" could not be read").see(Evidence{File: file, Says: trim(odd)}))
		}
		for _, bar := range memoryBARs(function) {
			if bar.Unassigned {
				return one(noAddress(fmt.Sprintf("window %d of %s (%s) has no address: the firmware found no space for it", bar.Index, function.BDF, bytesText(bar.Size)),
					Evidence{File: file, Says: fmt.Sprintf("line %d has no address", bar.Index+1)}))
			}
		}
	}
	main := card.Main()
	file := "/sys/bus/pci/devices/" + main.BDF.String() + "/resource"
	switch {
	case lacksWindow(main):
		return one(noAddress("the card has only the memory window of its registers; the firmware found no space for the others, and this kernel does not list them",
			Evidence{File: file, Says: "has only one memory window"}))
	case len(memoryBARs(main)) > 0:
		return one(found(finding.HostBARUnassigned, finding.Pass, "all memory windows have an address"))
	case len(main.BARs) == 0:
		return one(found(finding.HostBARUnassigned, finding.Unknown, "this host does not show the memory windows of the card").see(Evidence{File: file, Says: "has no window"}))
	}
	return one(noAddress("the card has no memory window: the firmware found no space for any", Evidence{File: file, Says: "has no memory window"}))
}

// lacksWindow reports whether an NVIDIA card shows only its first window, that of its
// registers. Each card has a second one for its memory. A kernel that finds no space
// for a window may set its size to 0 (reset_resource in drivers/pci/setup-bus.c), as
// if the card had none. The windows of virtual functions are not listed here.
func lacksWindow(f *hostpci.Function) bool {
	return f.ID.Vendor == pci.VendorNVIDIA && f.PhysFn == "" && len(memoryBARs(f)) == 1 && memoryBARs(f)[0].Index == 0
}

func noAddress(reason string, evidence Evidence) Finding {
	return found(finding.HostBARUnassigned, finding.Fail, reason).see(evidence).
		fix("in the firmware setup enable Above 4G Decoding (servers: MMIOH), then restart the host").then("each window has an address")
}

// bytesText writes a size: "16 GiB", "256 MiB".
func bytesText(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.4g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// guestWindow is the size that OVMF reserves for windows above 4 GiB when it does not
// know the width of addresses (edk2, OvmfPkg/Library/PlatformInitLib/MemDetect.c).
const guestWindow = 32 << 30

// narrowCPUs are the CPU types without pdpe1gb. With them, OVMF assumes 40 address
// bits and uses its small window. The first is Proxmox's default.
var narrowCPUs = []string{"", "kvm64", "qemu64", "kvm32", "qemu32"}

func isNarrow(cpu string) bool {
	return slices.Contains(narrowCPUs, cpu) || strings.HasPrefix(cpu, "x86-64-v")
}

// checkGuestWindow is condition 16: the VM's address space is too small.
func checkGuestWindow(f *facts, card hostpci.Card) []Finding {
	var total uint64
	for _, function := range card.Functions {
		for _, bar := range memoryBARs(function) {
			total += bar.Size
		}
	}
	if total <= guestWindow {
		return one(found(finding.HostGuestWindow, finding.Pass, "the card's windows ("+bytesText(total)+") fit into any VM"))
	}
	for _, c := range f.vmsOf(card.Slot) {
		cpu := property(c.vm.values["cpu"], "cputype", "cputype")
		if c.vm.values["bios"] != "ovmf" || !isNarrow(cpu) || strings.Contains(c.vm.values["args"], "X-PciMmio64Mb") {
			continue
		}
		return one(found(finding.HostGuestWindow, finding.Fail, fmt.Sprintf("the card's windows (%s) do not fit into the address space of VM %d", bytesText(total), c.vm.vmid)).
			see(c.vm.file.line("bios: ovmf"), c.vm.file.line("cpu: "+c.vm.values["cpu"])).
			fix(fmt.Sprintf("qm set %d --cpu host, then stop and start the VM", c.vm.vmid)).then("the guest's lspci shows an address for each region of the card"))
	}
	return one(found(finding.HostGuestWindow, finding.Info, "the card's windows are large ("+bytesText(total)+"): give its VM the CPU type host"))
}

// checkAddressWidth is condition 17: the IOMMU supports fewer address bits than the
// processor, which is harmless.
func checkAddressWidth(f *facts, _ hostpci.Card) []Finding {
	bits := physicalBits(read(f.tree, "proc/cpuinfo").body)
	for _, unit := range f.iommus.names {
		file := read(f.tree, path.Join("sys/class/iommu", unit, "intel-iommu/cap"))
		width, ok := addressWidth(file.value())
		if ok && width < bits {
			return one(found(finding.HostAddressWidth, finding.Info, fmt.Sprintf("the IOMMU supports %d address bits, the processor %d: QEMU may log vfio_container_dma_map … = -22, which is harmless", width, bits)).
				see(file.evidence(), Evidence{File: "/proc/cpuinfo", Says: fmt.Sprintf("address sizes: %d bits physical", bits)}))
		}
		if ok && bits > 0 {
			return one(found(finding.HostAddressWidth, finding.Pass, fmt.Sprintf("the IOMMU supports all %d address bits", bits)))
		}
	}
	return one(found(finding.HostAddressWidth, finding.Info, "this host does not show how many address bits its IOMMU supports; this rarely matters"))
}

// addressWidth reads the field MGAW of the capability register: bits 16 to 21 hold
// the width minus one (Intel VT-d specification, 11.4.2).
func addressWidth(capability string) (bits int, ok bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(capability, "0x"), 16, 64)
	return int(n>>16&0x3f) + 1, err == nil
}

// checkROM is condition 18: the firmware used the card's ROM.
func checkROM(_ *facts, card hostpci.Card) []Finding {
	main := card.Main()
	hasROM := slices.ContainsFunc(main.BARs, func(b hostpci.BAR) bool { return b.Index == romIndex })
	if main.BootVGA && hasROM {
		return one(found(finding.HostROM, finding.Info, "the firmware used the card's ROM for its own screen; a VM that only computes does not need the ROM").
			see(Evidence{File: "/sys/bus/pci/devices/" + main.BDF.String() + "/boot_vga", Says: "1"}).fix("set rombar=0 in hostpciN if the guest hangs or its screen stays dark"))
	}
	return one(found(finding.HostROM, finding.Pass, "the firmware did not use the card's ROM"))
}
