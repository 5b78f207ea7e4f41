package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
)

// vfioModules are the modules that a VM with a card needs.
var vfioModules = []string{"vfio", "vfio_iommu_type1", "vfio_pci"}

// checkVFIO is condition 6: the VFIO drivers are not loaded.
func checkVFIO(f *facts) []Finding {
	var missing []string
	for _, name := range vfioModules {
		if !f.has(name) {
			missing = append(missing, name)
		}
	}
	names := strings.Join(missing, ", ")
	after, because := f.vfioNext()
	switch {
	case len(missing) == 0:
		pass := found(finding.HostVFIOMissing, finding.Pass, "the VFIO drivers are in the kernel").see(f.vfioEvidence()...).after(after)
		if after == finding.Fail {
			pass.Reason += "; after the next reboot they are not: " + because
			pass = pass.fix(f.vfioFix()).then("/proc/modules has vfio_pci after the reboot too")
		}
		return one(pass)
	case !f.modules.ok() || !f.built.ok() && !f.built.absent():
		return one(found(finding.HostVFIOMissing, finding.Unknown, "it is not known whether the VFIO drivers are loaded").see(f.modules.evidence(), f.built.evidence()))
	case f.proxmox && f.shipped["vfio_pci"] && !f.modprobe.disabled["vfio_pci"]:
		return one(found(finding.HostVFIOMissing, finding.Info, names+" not loaded yet; Proxmox loads them when the first VM with a card starts").see(f.vfioEvidence()...).
			fix(f.vfioFix()))
	case f.deps.ok() && !f.shipped["vfio_pci"] || f.deps.absent():
		return one(found(finding.HostVFIOMissing, finding.Fail, names+" not loaded, and the running kernel has no such modules on disk").after(finding.Unknown).see(f.vfioEvidence()...).see(f.deps.line("has no vfio-pci.ko")).
			fix("the kernel was probably removed by an update: reboot into the new one").then("/proc/modules has vfio_pci"))
	}
	return one(found(finding.HostVFIOMissing, finding.Fail, names+" not loaded").after(after).see(f.vfioEvidence()...).
		fix(f.vfioFix()).then("/proc/modules has " + strings.Join(vfioModules, ", ")))
}

func (f *facts) vfioFix() string {
	fix := fmt.Sprintf("write %s, one per line, to /etc/modules-load.d/vfio.conf and run %s", strings.Join(vfioModules, ", "), f.boot.initramfs())
	if !f.has("vfio_pci") {
		fix += "; now: modprobe vfio-pci"
	}
	return fix
}

// vfioEvidence shows which of the drivers are in the kernel. The whole list of
// modules would be too long.
func (f *facts) vfioEvidence() []Evidence {
	var loaded, builtin []string
	for _, name := range append([]string{"vfio_pci_core"}, vfioModules...) {
		if f.loaded[name] {
			loaded = append(loaded, name)
		}
		if f.builtin[name] {
			builtin = append(builtin, name)
		}
	}
	says := func(t text, names []string) Evidence {
		switch {
		case !t.ok():
			return t.evidence()
		case len(names) == 0:
			return t.line("has none of them")
		}
		return t.line("has " + strings.Join(names, ", "))
	}
	evidence := []Evidence{says(f.modules, loaded)}
	if len(builtin) > 0 {
		evidence = append(evidence, says(f.built, builtin))
	}
	return evidence
}

// vfioNext returns whether vfio-pci will be loaded after the next reboot, and why.
func (f *facts) vfioNext() (finding.Verdict, string) {
	file, listed := f.listed["vfio_pci"]
	early := listedModules(read(f.tree, "etc/initramfs-tools/modules").body)
	switch {
	case f.modprobe.disabled["vfio_pci"]:
		return finding.Fail, "an install line in modprobe.d disables vfio-pci"
	case f.builtin["vfio_pci"]:
		return finding.Pass, "it is built into the kernel"
	case f.proxmox:
		return finding.Pass, "Proxmox loads it when it is needed"
	case listed:
		return finding.Pass, "/" + file.name + " lists it"
	case slices.Contains(early, "vfio_pci"):
		return finding.Pass, "/etc/initramfs-tools/modules lists it"
	case len(f.rules) > 0:
		return finding.Pass, "a card is bound at each boot"
	}
	for _, pre := range f.modprobe.pre {
		if slices.Contains(pre, "vfio_pci") {
			return finding.Pass, "a softdep in modprobe.d loads it"
		}
	}
	return finding.Fail, "no file in /etc loads vfio-pci at boot"
}

// checkVirqfd is condition 7: a module is listed for loading that no longer exists.
func checkVirqfd(f *facts) []Finding {
	file, listed := f.listed["vfio_virqfd"]
	newer, known := atLeast(f.release, 6, 2)
	if !listed || known && !newer {
		return one(found(finding.HostVirqfdListed, finding.Pass, "no obsolete module is listed for loading"))
	}
	return one(found(finding.HostVirqfdListed, finding.Info, "vfio_virqfd is listed for loading, but kernels since 6.2 have no such module; this is harmless").
		see(file.line("vfio_virqfd")).fix("remove the line from /" + file.name))
}
