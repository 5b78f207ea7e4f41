package check

import (
	"path"
	"slices"
	"strings"
)

// loadedModules reads the names in /proc/modules: the whole first field of each line,
// because vfio_pci and vfio_pci_core are different modules.
func loadedModules(body string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(body) {
		if fields := strings.Fields(line); len(fields) > 0 {
			names[moduleName(fields[0])] = true
		}
	}
	return names
}

// moduleFiles reads modules.builtin and modules.dep: each line begins with the file
// of a module.
func moduleFiles(body string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(body) {
		file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name, _, isModule := strings.Cut(path.Base(file), ".ko"); isModule && name != "" {
			names[moduleName(name)] = true
		}
	}
	return names
}

// moduleName is a name in the form that the kernel uses.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// modprobe holds the settings of all files of modprobe.d(5).
type modprobe struct {
	options   map[string][]param  // by module
	pre       map[string][]string // softdep: modules to load before a module
	blacklist map[string]bool     // not loaded automatically for a device
	disabled  map[string]bool     // install … /bin/false: not loaded at all
}

func newModprobe() modprobe {
	return modprobe{options: map[string][]param{}, pre: map[string][]string{}, blacklist: map[string]bool{}, disabled: map[string]bool{}}
}

// add reads one file.
func (m modprobe) add(body string) {
	for line := range strings.Lines(strings.ReplaceAll(body, "\\\n", " ")) {
		fields := quotedFields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		module := moduleName(fields[1])
		switch fields[0] {
		case "options":
			for _, option := range fields[2:] {
				key, value, _ := strings.Cut(option, "=")
				m.options[module] = append(m.options[module], param{key, value})
			}
		case "blacklist":
			m.blacklist[module] = true
		case "softdep":
			m.pre[module] = append(m.pre[module], preOf(fields[2:])...)
		case "install":
			if len(fields) > 2 && slices.Contains([]string{"false", "true"}, path.Base(fields[2])) {
				m.disabled[module] = true
			}
		}
	}
}

// preOf returns the modules between "pre:" and "post:".
func preOf(fields []string) []string {
	var names []string
	pre := false
	for _, field := range fields {
		switch field {
		case "pre:", "post:":
			pre = field == "pre:"
		default:
			if pre {
				names = append(names, moduleName(field))
			}
		}
	}
	return names
}

// option returns the last value of a module's option.
func (m modprobe) option(module, key string) (value string, ok bool) {
	for _, p := range m.options[module] {
		if sameKey(p.key, key) {
			value, ok = p.value, true
		}
	}
	return value, ok
}

// listedModules reads /etc/modules and modules-load.d: one name per line.
func listedModules(body string) []string {
	var names []string
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		names = append(names, moduleName(strings.Fields(line)[0]))
	}
	return names
}
