package check

import (
	"slices"
	"strings"
)

// cmdline is a command line of the kernel: its parameters in order.
type cmdline []param

type param struct{ key, value string }

// String is the parameter as it is written.
func (p param) String() string {
	if p.value == "" {
		return p.key
	}
	return p.key + "=" + p.value
}

// parseCmdline reads a command line. Spaces inside double quotes do not end a
// parameter; what follows " -- " is for init and not for the kernel
// (Documentation/admin-guide/kernel-parameters.rst).
func parseCmdline(text string) cmdline {
	var line cmdline
	for _, word := range quotedFields(text) {
		if word == "--" {
			break
		}
		key, value, _ := strings.Cut(word, "=")
		if key != "" {
			line = append(line, param{key, value})
		}
	}
	return line
}

// quotedFields splits at white space outside double quotes, and drops the
// quotes.
func quotedFields(text string) []string {
	var fields []string
	var field strings.Builder
	quoted, begun := false, false
	for _, r := range text {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case !quoted && strings.ContainsRune(" \t\r\n\x00", r):
			if begun {
				fields = append(fields, field.String())
			}
			field.Reset()
			begun = false
		default:
			field.WriteRune(r)
			begun = true
		}
	}
	if begun {
		fields = append(fields, field.String())
	}
	return fields
}

// sameKey reports whether two parameter names are the same to the kernel, which
// treats dashes as underscores.
func sameKey(a, b string) bool { return dashed(a) == dashed(b) }

func dashed(key string) string { return strings.ReplaceAll(key, "-", "_") }

// all returns the values of a parameter, with lists split at commas.
func (c cmdline) all(key string) []string {
	var values []string
	for _, p := range c {
		if sameKey(p.key, key) {
			values = append(values, strings.Split(p.value, ",")...)
		}
	}
	return values
}

// has reports whether a parameter has this value in its list.
func (c cmdline) has(key, value string) bool { return slices.Contains(c.all(key), value) }

// named reports whether the parameter is present.
func (c cmdline) named(key string) bool { return len(c.all(key)) > 0 }

// pick returns the parameters with these names, as written.
func (c cmdline) pick(keys ...string) []string {
	var found []string
	for _, p := range c {
		if slices.ContainsFunc(keys, func(key string) bool { return sameKey(key, p.key) }) {
			found = append(found, p.String())
		}
	}
	return found
}

// switchesOff returns the parameters that turn the IOMMU off.
func (c cmdline) switchesOff() []string {
	var found []string
	for _, p := range c {
		for _, key := range iommuOptions {
			if sameKey(p.key, key) && slices.Contains(strings.Split(p.value, ","), "off") {
				found = append(found, p.String())
			}
		}
	}
	return found
}

// relevant are the names of the parameters that decide about passthrough.
var relevant = []string{
	"intel_iommu", "amd_iommu", "iommu", "intremap", "nointremap", "pcie_acs_override", "initcall_blacklist",
	"vfio-pci.ids", "vfio-pci.disable_idle_d3", "vfio_iommu_type1.allow_unsafe_interrupts", "modprobe.blacklist", "module_blacklist", "pci",
}

// relevant returns the parameters of the line that decide about passthrough.
func (c cmdline) relevant() []string { return c.pick(relevant...) }

// less returns the entries of the first list that are not in the second.
func less(these, those []string) []string {
	var rest []string
	for _, one := range these {
		if !slices.Contains(those, one) && !slices.Contains(rest, one) {
			rest = append(rest, one)
		}
	}
	return rest
}
