package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// outlook says whether a function will be free for VMs after the next reboot, and why.
type outlook struct {
	verdict  finding.Verdict
	because  string
	evidence []Evidence
	fix      string // "" when binding the card fixes it
}

func foresee(v finding.Verdict, because string, evidence ...Evidence) outlook {
	return outlook{verdict: v, because: because, evidence: evidence}
}

// fixedBy returns the outlook with this fix.
func (o outlook) fixedBy(fix string) outlook {
	o.fix = fix
	return o
}

// worse returns the worse of two outlooks.
func (o outlook) worse(other outlook) outlook {
	if other.verdict != o.verdict && worst(o.verdict, other.verdict) == other.verdict {
		return other
	}
	return o
}

// ownerNext predicts which driver will have a function after the next reboot: that
// of a rule for this card, vfio-pci by the ID of the model, or a driver of the host
// that is not disabled.
func (f *facts) ownerNext(function *hostpci.Function) outlook {
	if rule, ok := f.ruleFor(function); ok {
		return rule
	}
	next := f.unruled(function)
	if gone, lost := f.lostRecord(function.BDF.Slot); lost && next.verdict != finding.Pass {
		next.because = fmt.Sprintf("%s, written by gpuworker-host bind, is missing; %s", gone.File, next.because)
		next.evidence = append([]Evidence{gone}, next.evidence...)
	}
	return next
}

// unruled is the outlook of a function without a rule for its card.
func (f *facts) unruled(function *hostpci.Function) outlook {
	wanting, sure := f.wanting(function)
	if source, listed := f.listedID(function.ID); listed {
		return f.byID(function, wanting, source)
	}
	names := strings.Join(wanting, " or ")
	switch {
	case len(wanting) > 0 && sure:
		return foresee(finding.Fail, names+" takes "+function.BDF.String()+": no rule on disk reserves it for VMs", f.deps.line("has "+names))
	case len(wanting) > 0:
		return foresee(finding.Unknown, names+" may take "+function.BDF.String()+": no rule on disk reserves it for VMs, and it is not known which drivers this kernel has", f.deps.evidence())
	case !sure:
		return foresee(finding.Unknown, "it is not known which drivers of the host would take "+function.BDF.String())
	case f.keptInVain(function) != "":
		name := f.keptInVain(function)
		return foresee(finding.Unknown, "modprobe.d disables "+name+", but it is loaded now: the initramfs may be older than that setting", f.modules.line("has "+name)).
			fixedBy("run " + f.boot.initramfs())
	case !hostpci.ForVMs(function.Driver):
		return foresee(finding.Unknown, "modprobe.d disables "+trim(function.Driver)+", but it has the card now: the initramfs may be older than that setting")
	}
	return foresee(finding.Pass, "no driver of the host takes it")
}

// byID is the outlook of a function whose model vfio-pci is configured to take.
func (f *facts) byID(function *hostpci.Function, wanting []string, source Evidence) outlook {
	loadedWith := read(f.tree, "sys/module/vfio_pci/parameters/ids")
	switch {
	case len(wanting) == 0:
		return foresee(finding.Pass, "vfio-pci takes this model, and no driver of the host does", source)
	case hasID(strings.Split(loadedWith.value(), ","), function.ID) && hostpci.ForVMs(function.Driver):
		if rival := f.rival(wanting); rival != "" {
			return foresee(finding.Unknown, fmt.Sprintf("vfio-pci is configured to take this model, but nothing ensures that it is loaded before %s", rival), source, loadedWith.evidence()).
				fixedBy(fmt.Sprintf("write softdep %s pre: vfio-pci to a file in /etc/modprobe.d and run %s", rival, f.boot.initramfs()))
		}
		return foresee(finding.Pass, "vfio-pci took this model at this boot", source, loadedWith.evidence())
	}
	return foresee(finding.Unknown, fmt.Sprintf("vfio-pci is configured to take this model, but was loaded without that setting at this boot: the initramfs may be older than the setting (%s)", f.boot.initramfs()),
		source, loadedWith.evidence())
}

// rival returns the first of the drivers that this kernel has and that may be loaded
// before vfio-pci; "" if there is none. There is none if vfio-pci is built in, or if
// the initramfs (initramfs-tools(7), modules) or the command line
// (dracut.cmdline(7), rd.driver.pre) loads it first. A driver with a softdep on
// vfio-pci (modprobe.d(5)) is no rival.
func (f *facts) rival(drivers []string) string {
	early := listedModules(read(f.tree, "etc/initramfs-tools/modules").body)
	for _, driver := range f.boot.next.all("rd.driver.pre") {
		early = append(early, moduleName(driver))
	}
	if f.builtin["vfio_pci"] || slices.Contains(early, "vfio_pci") {
		return ""
	}
	i := slices.IndexFunc(drivers, func(driver string) bool {
		return (f.shipped[driver] || f.has(driver)) && !slices.Contains(f.modprobe.pre[driver], "vfio_pci")
	})
	if i < 0 {
		return ""
	}
	return drivers[i]
}

// listedID finds the setting that makes vfio-pci take a model.
func (f *facts) listedID(id pci.ID) (Evidence, bool) {
	if ids, ok := f.modprobe.option("vfio_pci", "ids"); ok && hasID(strings.Split(ids, ","), id) {
		return Evidence{File: "/etc/modprobe.d", Says: trim("options vfio-pci ids=" + ids)}, true
	}
	if ids := f.boot.next.all("vfio-pci.ids"); f.boot.known() && hasID(ids, id) {
		return f.boot.effective.line("vfio-pci.ids=" + strings.Join(ids, ",")), true
	}
	return Evidence{}, false
}

// hasID reports whether a model is in a list of vfio-pci. An entry is "10de:1eb8",
// which subsystem and class may follow.
func hasID(list []string, id pci.ID) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		parts := strings.Split(strings.TrimSpace(entry), ":")
		if len(parts) < 2 {
			return false
		}
		parsed, err := pci.ParseID(parts[0] + ":" + parts[1])
		return err == nil && parsed == id
	})
}

// takers returns the modules of the host that take functions like this one: by
// vendor for GPUs, otherwise by class.
func takers(f *hostpci.Function) (modules []string, known bool) {
	if f.IsDisplay() {
		switch f.ID.Vendor {
		case pci.VendorNVIDIA:
			return []string{"nouveau", "nvidia", "nvidiafb"}, true
		case 0x1002:
			return []string{"amdgpu", "radeon"}, true
		case 0x8086:
			return []string{"i915", "xe"}, true
		}
		return nil, false
	}
	switch f.Class.Code() {
	case 0x0403:
		return []string{"snd_hda_intel"}, true
	case 0x0c03:
		return []string{"xhci_pci"}, true
	case 0x0c80:
		return []string{"i2c_nvidia_gpu"}, true
	}
	return nil, false
}

// wanting returns the drivers of the host that will take the function: those that
// the kernel has and that are not disabled. sure is false when the drivers of the
// kernel could not be read, or when unknown drivers may take the function too.
func (f *facts) wanting(function *hostpci.Function) (modules []string, sure bool) {
	candidates, known := takers(function)
	if !hostpci.ForVMs(function.Driver) && !known {
		candidates, known = []string{moduleName(function.Driver)}, true
	}
	onDisk := f.deps.ok() && (f.built.ok() || f.built.absent())
	certain := false
	for _, module := range candidates {
		if f.keptAway(module) {
			continue
		}
		there := f.shipped[module] || f.builtin[module] || f.loaded[module]
		if there || !onDisk {
			modules = append(modules, module)
		}
		certain = certain || there
	}
	return modules, certain || known && onDisk
}

// keptInVain returns a driver that would take the function and is loaded although it
// is disabled; "" if there is none.
func (f *facts) keptInVain(function *hostpci.Function) string {
	modules, _ := takers(function)
	for _, module := range modules {
		if f.loaded[module] && f.keptAway(module) {
			return module
		}
	}
	return ""
}

// keptAway reports whether a module is disabled: not loaded automatically for a
// device.
func (f *facts) keptAway(module string) bool {
	if f.builtin[module] {
		return false
	}
	return f.modprobe.blacklist[module] || f.modprobe.disabled[module] ||
		f.boot.next.has("modprobe.blacklist", module) || f.boot.next.has("module_blacklist", module)
}

// ruleFor finds a rule for this card: one of driverctl or of gpuworker-host. The
// files of driverctl have no effect after driverctl itself was removed.
func (f *facts) ruleFor(function *hostpci.Function) (outlook, bool) {
	name := function.BDF.String()
	for _, file := range []string{path.Join("etc/driverctl.d", name), path.Join("etc/driverctl.d", "pci-"+name)} {
		if rule := read(f.tree, file); rule.ok() && hostpci.OfVFIO(rule.value()) && f.driverctl {
			return foresee(finding.Pass, "driverctl binds it at boot", rule.evidence()), true
		}
	}
	return f.atBoot(function)
}
