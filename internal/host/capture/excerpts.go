package capture

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"unicode"
)

// drivers are parts of the names of modules that matter: for passthrough, for
// screens, and drivers that may take a card's functions.
var drivers = []string{
	"vfio", "iommu", "drm", "fb", "simple", "nouveau", "nvidia", "amdgpu", "radeon", "i915", "/xe", "snd-hda-intel", "xhci",
}

// modules keeps the lines about these drivers from the lists of modules.
func (c *capture) modules() {
	dir := path.Join("lib/modules", c.release())
	keep := func(data []byte) []byte {
		return lines(data, func(line string) bool {
			name, _, _ := strings.Cut(line, ":")
			return slices.ContainsFunc(drivers, func(word string) bool { return strings.Contains(name, word) })
		})
	}
	c.content(dir+"/modules.builtin", keep)
	c.content(dir+"/modules.dep", keep)
}

// release is the version of the kernel, or "unknown".
func (c *capture) release() string {
	data, err := c.tree.ReadFile("proc/sys/kernel/osrelease")
	name := strings.TrimSpace(string(data))
	if err == nil && name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == ' ' || !unicode.IsPrint(r) }) {
		return name
	}
	return "unknown"
}

// boot keeps whether the kernel turns the IOMMU on by default.
func (c *capture) boot() {
	c.content("boot/config-"+c.release(), func(data []byte) []byte {
		return lines(data, func(line string) bool { return strings.Contains(line, "CONFIG_INTEL_IOMMU_DEFAULT_ON") })
	})
}

// settings are the keys of a VM's configuration that matter for cards, without the
// number at their end.
var settings = []string{"hostpci", "machine", "bios", "cpu", "memory", "balloon", "numa", "cores", "sockets", "template", "onboot", "hugepages"}

// configs keeps these settings of the VMs: the current ones, and those pending for
// the next start.
func (c *capture) configs() {
	c.each("etc/pve/qemu-server/*", func(name string) {
		c.content(name, func(data []byte) []byte {
			var kept []byte
			section := ""
			for line := range bytes.Lines(data) {
				text := strings.TrimSpace(string(line))
				if strings.HasPrefix(text, "[") {
					section = text
				}
				if section == "" || section == "[PENDING]" {
					kept = append(kept, setting(text)...)
				}
			}
			return c.scrub.text(kept)
		})
	})
}

// setting returns the part of one line that is kept: of args only the words about
// cards, of network devices only that they exist.
func setting(line string) string {
	key, value, _ := strings.Cut(line, ":")
	switch name := strings.TrimRight(key, "0123456789"); {
	case line == "[PENDING]", slices.Contains(settings, name):
		return line + "\n"
	case name == "net" && name != key:
		return key + ": removed\n"
	case name == "args":
		var words []string
		for _, word := range []string{"kvm=off", "X-PciMmio64Mb"} {
			if strings.Contains(value, word) {
				words = append(words, word)
			}
		}
		if len(words) > 0 {
			return "args: " + strings.Join(words, " ") + "\n"
		}
	}
	return ""
}

// mappings keeps the entries of Proxmox's resource mappings for this host, without
// the name of the host.
func (c *capture) mappings() {
	name, _ := c.tree.ReadFile("proc/sys/kernel/hostname")
	host, _, _ := strings.Cut(strings.TrimSpace(string(name)), ".")
	c.content("etc/pve/mapping/pci.cfg", func(data []byte) []byte {
		var kept []byte
		for line := range bytes.Lines(data) {
			text := strings.TrimRight(string(line), "\r\n")
			trimmed := strings.TrimSpace(text)
			fields := strings.Split(strings.TrimPrefix(trimmed, "map "), ",")
			here := slices.DeleteFunc(slices.Clone(fields), func(field string) bool {
				return field == "node="+host || strings.HasPrefix(field, "description=")
			})
			switch {
			case trimmed != "" && trimmed == text && trimmed[0] != '#':
				kept = append(kept, text+"\n"...)
			case !strings.HasPrefix(trimmed, "map "):
			case !slices.ContainsFunc(here, func(field string) bool { return strings.HasPrefix(field, "node=") }):
				kept = append(kept, "\tmap "+strings.Join(here, ",")+"\n"...)
			}
		}
		return c.scrub.text(kept)
	})
}

// excerpts keeps the members of the IOMMU groups, and single lines of long files.
func (c *capture) excerpts() {
	c.each("sys/kernel/iommu_groups/*/devices/*", c.link)
	c.content("proc/cpuinfo", func(data []byte) []byte {
		first := true
		return lines(data, func(line string) bool {
			wanted := first && strings.HasPrefix(line, "address sizes")
			first = first && !wanted
			return wanted
		})
	})
	c.content("var/lib/dpkg/status", func(data []byte) []byte {
		var kept []byte
		for _, part := range bytes.Split(data, []byte("\n\n")) {
			name, _, _ := bytes.Cut(bytes.TrimLeft(part, "\n"), []byte("\n"))
			if slices.Contains([]string{"Package: pve-qemu-kvm", "Package: qemu-system-x86"}, string(name)) {
				kept = append(kept, lines(append(part, '\n'), func(line string) bool {
					return strings.HasPrefix(line, "Package: ") || strings.HasPrefix(line, "Version: ")
				})...)
				kept = append(kept, '\n')
			}
		}
		return kept
	})
}
