package capture

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Of files that people write, only known settings are kept, because anything else
// may be secret. Comments are never kept.

// optionsKept are the kernel parameters whose values are kept, with underscores
// for dashes. Of other parameters only the name is kept: their values may be the
// name of a volume, a serial number or a network address.
var optionsKept = []string{
	"intel_iommu", "amd_iommu", "iommu", "intremap", "pcie_acs_override", "initcall_blacklist", "pci", "video", "modprobe.blacklist", "module_blacklist", "rd.driver.pre",
	"default_hugepagesz", "hugepagesz", "hugepages", "dyndbg",
}

// wordsKept are the kernel parameters without a value that are kept.
var wordsKept = []string{"quiet", "splash", "ro", "rw", "nomodeset", "nointremap", "nox2apic", "single"}

// parametersKept are the module parameters whose values are kept, written as on the
// kernel's command line. Of all others only the name is kept: the value may be a
// password, a path or a serial number.
var parametersKept = []string{
	"vfio_pci.ids", "vfio_pci.disable_idle_d3", "vfio_pci.disable_vga", "vfio_pci.nointxmask", "vfio_iommu_type1.allow_unsafe_interrupts",
	"vfio_iommu_type1.dma_entry_limit", "vfio.enable_unsafe_noiommu_mode", "iommu.passthrough", "iommu.strict",
	"kvm.ignore_msrs", "kvm.report_ignored_msrs", "kvm_intel.nested", "kvm_amd.nested", "kvm_amd.avic",
	"nouveau.modeset", "nvidia_drm.modeset", "nvidia_drm.fbdev", "nvidia.NVreg_PreserveVideoMemoryAllocations", "nvidia.NVreg_OpenRmEnableUnsupportedGpus",
	"amdgpu.modeset", "radeon.modeset", "i915.modeset", "i915.enable_guc", "i915.force_probe", "xe.force_probe", "zfs.zfs_arc_max", "zfs.zfs_arc_min",
}

// valueForm matches the values that are kept: numbers, words, identifiers.
var valueForm = regexp.MustCompile(`^[A-Za-z0-9_:,.*!-]{0,500}$`)

// keptParameter reports whether the value of a module's parameter is kept.
func keptParameter(module, name, value string) bool {
	return slices.Contains(parametersKept, underscored(module+"."+name)) && valueForm.MatchString(value)
}

// underscored is a name in the form that the kernel uses.
func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// options keeps the known parameters of a kernel's command line.
func options(line string) string {
	var kept []string
	for _, field := range quoted.FindAllString(line, -1) {
		if field == "--" {
			break // the rest is for init
		}
		key, value, hasValue := strings.Cut(field, "=")
		plainKey := underscored(strings.Trim(key, `"`))
		module, parameter, _ := strings.Cut(plainKey, ".")
		switch {
		case variable.MatchString(field), !hasValue && slices.Contains(wordsKept, field):
			kept = append(kept, field)
		case hasValue && (slices.Contains(optionsKept, plainKey) || keptParameter(module, parameter, value)):
			kept = append(kept, field)
		case !hasValue || !optionName.MatchString(key):
		case strings.HasPrefix(value, `\`): // an EFI path shows that the boot loader is systemd-boot
			kept = append(kept, key+`=\removed`)
		default:
			kept = append(kept, key+"=removed")
		}
	}
	return strings.Join(kept, " ")
}

var (
	quoted     = regexp.MustCompile(`(?:[^\s"]|"[^"]*"?)+`)
	variable   = regexp.MustCompile(`^\$\{?[A-Za-z_][A-Za-z0-9_]*\}?$`)
	optionName = regexp.MustCompile(`^"?[a-zA-Z][a-zA-Z_.-]*$`)
	assigned   = regexp.MustCompile(`^\s*((?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\+?=)(.*)$`)
	moduleForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// cmdline keeps the options of a file that contains one command line.
func (s *scrubber) cmdline(data []byte) []byte {
	line, _, _ := strings.Cut(string(data), "\n")
	return s.text([]byte(options(line) + "\n"))
}

// entries keeps the lines with a kernel and its options from a boot loader's files.
func (s *scrubber) entries(data []byte) []byte {
	return s.eachLine(data, func(line string) string {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && fields[0] == "options":
			return "options " + options(strings.Join(fields[1:], " "))
		case len(fields) > 1 && (fields[0] == "linux" || fields[0] == "linuxefi"):
			return "\t" + fields[0] + " /" + path.Base(fields[1]) + " " + options(strings.Join(fields[2:], " "))
		}
		return ""
	})
}

// grub keeps the assignments of /etc/default/grub.
func (s *scrubber) grub(data []byte) []byte {
	return s.eachLine(data, func(line string) string {
		m := assigned.FindStringSubmatch(line)
		if m == nil {
			return ""
		}
		value, quote := m[2], ""
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			quote = value[:1]
			value, _, _ = strings.Cut(value[1:], quote)
		} else {
			value, _, _ = strings.Cut(value, " ")
		}
		return m[1] + quote + options(value) + quote
	})
}

// modprobe keeps the known lines of modprobe.d(5).
func (s *scrubber) modprobe(data []byte) []byte {
	whole := strings.ReplaceAll(string(data), "\\\n", " ")
	return s.eachLine([]byte(whole), func(line string) string {
		fields := strings.Fields(line)
		if len(fields) < 2 || !moduleForm.MatchString(fields[1]) {
			return ""
		}
		switch fields[0] {
		case "options":
			return strings.Join(append(fields[:2:2], parameters(fields[1], strings.Join(fields[2:], " "))...), " ")
		case "blacklist":
			return "blacklist " + fields[1]
		case "softdep":
			return strings.Join(slices.DeleteFunc(fields, func(f string) bool { return f != "pre:" && f != "post:" && !moduleForm.MatchString(f) }), " ")
		case "install":
			if len(fields) > 2 && slices.Contains([]string{"/bin/false", "/bin/true", "/usr/bin/false", "/usr/bin/true", "false", "true"}, fields[2]) {
				return strings.Join(fields[:3], " ")
			}
			return "install " + fields[1] + " removed"
		}
		return ""
	})
}

// parameters keeps the names of "NAME=VALUE …" after a module, and the known values.
// It ends at the first word of another form, which may be the rest of a value with
// blanks.
func parameters(module, line string) []string {
	var kept []string
	for _, field := range quoted.FindAllString(line, -1) {
		name, value, hasValue := strings.Cut(field, "=")
		switch {
		case !hasValue || !moduleForm.MatchString(name):
			return kept
		case keptParameter(module, name, value):
			kept = append(kept, field)
		default:
			kept = append(kept, name+"=removed")
		}
	}
	return kept
}

// moduleNames keeps lists of modules: the first word of each line.
func (s *scrubber) moduleNames(data []byte) []byte {
	return s.eachLine(data, func(line string) string {
		if fields := strings.Fields(line); len(fields) > 0 && moduleForm.MatchString(fields[0]) {
			return fields[0]
		}
		return ""
	})
}

// osRelease keeps the name and version of the system.
func (s *scrubber) osRelease(data []byte) []byte {
	return s.eachLine(data, func(line string) string {
		key, _, _ := strings.Cut(line, "=")
		if slices.Contains([]string{"ID", "ID_LIKE", "NAME", "PRETTY_NAME", "VERSION_ID", "VERSION_CODENAME"}, key) {
			return line
		}
		return ""
	})
}

// interrupts keeps the interrupt controllers and counts, without the names of the
// devices.
func (s *scrubber) interrupts(data []byte) []byte {
	return s.eachLine(data, func(line string) string {
		fields := strings.Fields(line)
		for i, field := range fields {
			if strings.Trim(field, "0123456789") != "" && !(i == 0 && strings.HasSuffix(field, ":")) && !strings.HasPrefix(field, "CPU") {
				return strings.Join(fields[:i+1], " ")
			}
		}
		return strings.Join(fields, " ")
	})
}

// flag keeps an EFI variable with a one-byte value: four bytes of attributes and one
// of value. Others are dropped.
func flag(data []byte) []byte {
	if len(data) != 5 {
		return nil
	}
	return data
}

// logWords are in the lines of the kernel's log that matter for cards.
var logWords = []string{"vfio", "DMAR", "AMD-Vi", "RMRR", "D3cold", "giving up", "bus reset", "iommu", "IOMMU", "BAR ", "MEMLOCK"}

// kernelLog keeps lines of the kernel's log, without the date and host name that
// syslog writes before them.
func (s *scrubber) kernelLog(data []byte) []byte {
	return s.eachLine(data, func(line string) string {
		if _, text, found := strings.Cut(line, " kernel: "); found {
			line = text
		}
		has := func(word string) bool { return strings.Contains(line, word) }
		if !slices.ContainsFunc(logWords, has) || has("ommand line") {
			return ""
		}
		return line
	})
}

// eachLine replaces each line by the result of keep, and drops empty results.
func (s *scrubber) eachLine(data []byte, keep func(line string) string) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		if kept := strings.TrimRight(keep(strings.TrimRight(line, "\r\n")), " \t"); kept != "" {
			b.WriteString(kept + "\n")
		}
	}
	return s.text([]byte(b.String()))
}
