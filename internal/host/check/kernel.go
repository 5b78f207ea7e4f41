package check

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
)

// checkKernelIOMMU is condition 2: the IOMMU is off in the kernel.
func checkKernelIOMMU(f *facts) []Finding {
	on, known := f.iommuOn()
	base := func(v finding.Verdict, reason string) Finding {
		return found(finding.HostIOMMUOffKernel, v, reason).see(f.iommus.evidence())
	}
	switch {
	case !known:
		return one(base(finding.Unknown, "it is not known whether the IOMMU is on").fix(f.seeMore))
	case on:
		after, because := f.iommuNext(true)
		pass := base(finding.Pass, "the IOMMU is on").after(after)
		if after != finding.Pass {
			pass.Reason += "; after the next reboot: " + because
		}
		if f.boot.known() && after != finding.Pass {
			pass = pass.see(f.boot.effective.line(strings.Join(f.boot.next.pick(iommuOptions...), " "))).
				fix(f.iommuFix()).then("/sys/class/iommu is not empty after the reboot either")
		}
		return one(pass)
	case f.table() == "" && f.tables.err == nil:
		return nil // the firmware offers none, which is a finding of its own
	}
	reason := "the kernel does not use the IOMMU that the firmware offers"
	if f.table() == "" {
		reason = "no IOMMU is on; it is not known whether the firmware offers one"
	}
	if off := f.boot.now.switchesOff(); len(off) > 0 {
		reason += ": " + off[0] + " is on its command line"
	}
	after, _ := f.iommuNext(false)
	bad := base(finding.Fail, reason).after(after).see(f.boot.running.evidence()).fix(f.iommuFix()).
		then("/sys/class/iommu has dmar0 (Intel) or ivhd0 (AMD)")
	if after == finding.Pass {
		bad = bad.see(f.boot.effective.line(strings.Join(f.boot.next.pick(iommuOptions...), " "))).fix("reboot: the needed options are already in /" + f.boot.effective.name)
	}
	return one(bad)
}

// iommuOptions are the options that turn an IOMMU on and off.
var iommuOptions = []string{"intel_iommu", "amd_iommu", "iommu"}

// iommuNext returns whether the IOMMU will be on after the next reboot, and why.
func (f *facts) iommuNext(on bool) (finding.Verdict, string) {
	b := f.boot
	defaultOn, known := f.intelByDefault()
	switch off := b.next.switchesOff(); {
	case !b.known():
		return finding.Unknown, "unknown, because the command line on disk could not be read"
	case len(off) > 0:
		return finding.Fail, "off, by " + off[0] + " in /" + b.effective.name
	case f.table() == "" && !on:
		return finding.Unknown, "unknown"
	case !on && slices.Equal(b.now.pick(iommuOptions...), b.next.pick(iommuOptions...)):
		return finding.Fail, "off, because its options do not change"
	case f.isAMD(), b.next.has("intel_iommu", "on"), on && !b.now.has("intel_iommu", "on"), known && defaultOn:
		return finding.Pass, "on"
	case known || !on:
		return finding.Fail, "off, because intel_iommu=on is not in /" + b.effective.name
	}
	return finding.Unknown, "unknown, because intel_iommu=on is not in /" + b.effective.name
}

func (f *facts) isAMD() bool {
	return f.table() == "IVRS" || slices.ContainsFunc(f.iommus.names, func(name string) bool { return strings.HasPrefix(name, "ivhd") })
}

// intelByDefault reports whether this kernel turns Intel's IOMMU on by default: by
// its configuration, or because it is a Proxmox kernel from 6.8 on.
func (f *facts) intelByDefault() (on, known bool) {
	config := read(f.tree, path.Join("boot", "config-"+path.Base("/"+f.release)))
	if config.ok() {
		return strings.Contains(config.body, "CONFIG_INTEL_IOMMU_DEFAULT_ON=y"), true
	}
	if newer, ok := atLeast(f.release, 6, 8); ok && newer && strings.HasSuffix(f.release, "-pve") {
		return true, true
	}
	return false, false
}

func (f *facts) iommuFix() string {
	for _, line := range []cmdline{f.boot.next, f.boot.now} {
		if off := line.switchesOff(); len(off) > 0 {
			return f.boot.dropOption(off[0])
		}
	}
	switch {
	case f.isAMD():
		return "AMD's IOMMU needs no option: look in the kernel's log for AMD-Vi, and for newer firmware"
	case f.table() == "IORT":
		return "Arm's IOMMU needs no option: look in the kernel's log for arm-smmu, and for newer firmware"
	}
	return f.boot.addOption("intel_iommu=on")
}

// checkBootConfig is condition 3: options are in a file that this host does not use,
// or in one that was changed but not applied.
func checkBootConfig(f *facts) []Finding {
	b := f.boot
	on, _ := f.iommuOn()
	verdict := finding.Info
	if !on {
		verdict = finding.Fail
	}
	added, removed := b.stale()
	unused := less(b.otherLine.relevant(), append(b.now.relevant(), b.wanted.relevant()...))
	pending := less(b.next.relevant(), b.now.relevant())
	switch {
	case len(unused) > 0 && b.loader != "":
		return one(found(finding.HostBootConfig, verdict, fmt.Sprintf("%s is in /%s, which is not used when this host boots: %s", strings.Join(unused, " "), b.other.name, b.told)).
			see(b.other.line(strings.Join(b.otherLine.relevant(), " ")), b.running.evidence()).
			fix(b.addOption(strings.Join(unused, " "))).then("/proc/cmdline has " + strings.Join(unused, " ")))
	case len(added)+len(removed) > 0:
		return one(found(finding.HostBootConfig, verdict, "/"+b.source.name+" was changed but not applied: "+changes(added, removed)).
			see(b.source.line(strings.Join(b.wanted.relevant(), " ")), b.effective.line(strings.Join(b.next.relevant(), " "))).
			fix("run " + b.apply() + ", then reboot").then("/proc/cmdline has the options of /" + b.source.name))
	case b.loader == "":
		return one(found(finding.HostBootConfig, finding.Unknown, "it is not known which boot loader this host uses").see(b.running.evidence()))
	case !b.known():
		return one(found(finding.HostBootConfig, finding.Unknown, "the command line of the next boot could not be read").see(b.effective.evidence()))
	case len(pending) > 0:
		return one(found(finding.HostBootConfig, finding.Info, "the next boot adds "+strings.Join(pending, " ")).
			see(b.effective.line(strings.Join(b.next.relevant(), " "))).fix("reboot at a convenient time"))
	}
	return one(found(finding.HostBootConfig, finding.Pass, "the command line on disk is that of the running kernel").see(b.effective.line(strings.Join(b.next.relevant(), " "))))
}

func changes(added, removed []string) string {
	var parts []string
	if len(added) > 0 {
		parts = append(parts, strings.Join(added, " ")+" is new")
	}
	if len(removed) > 0 {
		parts = append(parts, strings.Join(removed, " ")+" was removed")
	}
	return strings.Join(parts, ", ")
}

// checkRemapping is condition 4: interrupts are not remapped.
func checkRemapping(f *facts) []Finding {
	if on, known := f.iommuOn(); known && !on {
		return nil
	}
	interrupts := read(f.tree, "proc/interrupts")
	remapped, plain := interruptChips(interrupts.body)
	unsafe := read(f.tree, "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
	allowed := unsafe.value() == "Y"
	after := func(now finding.Verdict) finding.Verdict {
		if f.boot.next.has("intremap", "off") || f.boot.next.named("nointremap") {
			return finding.Fail
		}
		return now
	}
	switch {
	case len(remapped) > 0 && !allowed:
		pass := found(finding.HostNoRemapping, finding.Pass, "interrupts are remapped").see(interrupts.line(remapped[0])).after(after(finding.Pass))
		if pass.AfterReboot == finding.Fail {
			pass.Reason += "; after the next reboot they are not"
			pass = pass.see(f.boot.effective.line(strings.Join(f.boot.next.relevant(), " "))).fix(f.boot.dropOption(remapOff(f.boot.next)))
		}
		return one(pass)
	case len(remapped) > 0:
		return one(found(finding.HostNoRemapping, finding.Info, "interrupts are remapped, so allow_unsafe_interrupts is not needed, but it is on").
			see(interrupts.line(remapped[0]), unsafe.evidence()).fix("remove allow_unsafe_interrupts from /etc/modprobe.d, then run " + f.boot.initramfs()))
	case len(plain) > 0 && allowed:
		insecure := found(finding.HostNoRemapping, finding.Info, "INSECURE: interrupts are not remapped, and allow_unsafe_interrupts is on: a guest can take over the host").
			see(interrupts.line(plain[0]), unsafe.evidence()).fix("update the firmware and enable x2APIC there; until then, run only guests that you trust like the host itself")
		if !f.unsafeNext() {
			insecure = insecure.after(finding.Fail)
			insecure.Reason += "; after the next reboot VFIO refuses to work, because allow_unsafe_interrupts is not set on disk"
		}
		return one(insecure)
	case len(plain) > 0:
		bad := found(finding.HostNoRemapping, finding.Fail, "interrupts are not remapped, so VFIO refuses to work").see(interrupts.line(plain[0])).
			fix("update the firmware and enable x2APIC there").then("lines of /proc/interrupts say IR-PCI-MSI")
		if off := remapOff(f.boot.now); off != "" {
			bad = bad.see(f.boot.running.evidence()).fix(f.boot.dropOption(off))
		}
		return one(bad)
	}
	return one(found(finding.HostNoRemapping, finding.Unknown, "it is not known whether interrupts are remapped").see(interrupts.evidence()).
		fix("look for Enabled IRQ remapping (Intel) or Interrupt remapping enabled (AMD) in dmesg"))
}

// unsafeNext reports whether allow_unsafe_interrupts is set for the next boot.
func (f *facts) unsafeNext() bool {
	value, _ := f.modprobe.option("vfio_iommu_type1", "allow_unsafe_interrupts")
	for _, said := range append(f.boot.next.all("vfio_iommu_type1.allow_unsafe_interrupts"), value) {
		if slices.Contains([]string{"1", "y", "Y", "on"}, said) {
			return true
		}
	}
	return false
}

func remapOff(line cmdline) string {
	switch {
	case line.has("intremap", "off"):
		return "intremap=off"
	case line.named("nointremap"):
		return "nointremap"
	}
	return ""
}

// checkMode is condition 5: how the host's own devices use the IOMMU.
func checkMode(f *facts) []Finding {
	types := map[string]int{}
	for _, group := range f.pci.Groups {
		types[group.Type]++
	}
	if len(f.pci.Groups) == 0 {
		return nil
	}
	first := f.pci.Groups[0]
	says := Evidence{File: fmt.Sprintf("/sys/kernel/iommu_groups/%d/type", first.Number), Says: cmp.Or(trim(first.Type), "does not exist")}
	switch {
	case types["identity"] > 0:
		return one(found(finding.HostIOMMUMode, finding.Info, "the host's own devices bypass the IOMMU (iommu=pt); this makes no difference for the cards of VMs").see(f.boot.running.line(strings.Join(f.boot.now.pick("iommu"), " "))))
	case types[""] == len(f.pci.Groups):
		return one(found(finding.HostIOMMUMode, finding.Info, "this kernel does not show how the host's own devices use the IOMMU; this makes no difference for the cards of VMs").see(says))
	}
	return one(found(finding.HostIOMMUMode, finding.Pass, "the IOMMU translates for the host's own devices too").see(says))
}

// reportedKernels are versions for which users report that cards are not reset.
var reportedKernels = []string{"6.12.23", "6.14.2"}

// reportedQEMU are versions for which users report that guests hang at a reboot.
var reportedQEMU = []string{"8.2.0"}

// checkKernelReports is condition 28: versions with problem reports from users.
func checkKernelReports(f *facts) []Finding {
	osrelease := text{name: "proc/sys/kernel/osrelease", body: f.release}
	version, _, _ := strings.Cut(f.release, "-")
	qemu, source := qemuVersion(read(f.tree, "var/lib/dpkg/status"))
	switch {
	case f.release == "":
		return one(found(finding.HostKernelReports, finding.Unknown, "the version of the kernel could not be read"))
	case slices.Contains(reportedKernels, version):
		return one(found(finding.HostKernelReports, finding.Unknown, "users report that GPUs are not reset with kernel "+version).
			see(osrelease.evidence()).fix("try it on one host, or start another kernel: proxmox-boot-tool kernel pin VERSION").
			then("a VM with the card can be started, stopped and started again"))
	case slices.Contains(reportedQEMU, qemu):
		return one(found(finding.HostKernelReports, finding.Unknown, "users report that guests with a GPU hang at a reboot with QEMU "+qemu).
			see(source).fix("update QEMU, then stop and start the VMs"))
	}
	return one(found(finding.HostKernelReports, finding.Pass, "there are no problem reports about kernel "+trim(f.release)).see(osrelease.evidence()))
}

// qemuVersion finds QEMU in Debian's list of packages: its upstream version.
func qemuVersion(status text) (string, Evidence) {
	for _, name := range []string{"pve-qemu-kvm", "qemu-system-x86"} {
		_, rest, found := strings.Cut("\n"+status.body, "\nPackage: "+name+"\n")
		if !found {
			continue
		}
		rest, _, _ = strings.Cut(rest, "\n\n")
		for line := range strings.Lines(rest) {
			if version, is := strings.CutPrefix(line, "Version: "); is {
				if _, after, epoch := strings.Cut(version, ":"); epoch {
					version = after
				}
				plain, _, _ := strings.Cut(strings.TrimSpace(version), "-")
				plain, _, _ = strings.Cut(plain, "+")
				return plain, status.line(name + " " + strings.TrimSpace(line))
			}
		}
	}
	return "", Evidence{}
}

// checkLockdown is condition 31: Secure Boot or lockdown.
func checkLockdown(f *facts) []Finding {
	lockdown := read(f.tree, "sys/kernel/security/lockdown")
	secure := secureBoot(f)
	on := lockdown.ok() && !strings.Contains(lockdown.body, "[none]")
	switch {
	case on || secure.Says == "1":
		return one(found(finding.HostLockdown, finding.Info, "Secure Boot or lockdown is on; binding drivers still works").see(lockdown.evidence(), secure))
	case lockdown.hidden():
		return one(found(finding.HostLockdown, finding.Info, "it is not known whether lockdown is on; this makes no difference here").see(lockdown.evidence()))
	}
	return one(found(finding.HostLockdown, finding.Pass, "the kernel is not locked down").see(lockdown.evidence()))
}

// secureBoot reads the EFI variable: four bytes of attributes and one of value.
func secureBoot(f *facts) Evidence {
	const dir = "sys/firmware/efi/efivars"
	for _, name := range readDir(f.tree, dir).names {
		if !strings.HasPrefix(name, "SecureBoot-") {
			continue
		}
		data, err := f.tree.ReadFile(path.Join(dir, name))
		if err == nil && len(data) == 5 {
			return Evidence{File: "/" + path.Join(dir, name), Says: strconv.Itoa(int(data[4]))}
		}
	}
	return Evidence{File: "/" + dir, Says: "has no readable SecureBoot variable"}
}
