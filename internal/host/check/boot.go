package check

import (
	"path"
	"strconv"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// The known boot loaders.
const (
	loaderGRUB    = "grub"
	loaderSystemd = "systemd-boot"
)

// boot holds the kernel's command line of this boot and of the next one.
type boot struct {
	loader  string // loaderGRUB, loaderSystemd; "" when unknown
	told    string // how the loader was recognized
	running text   // /proc/cmdline
	now     cmdline

	// source is the file that people edit for this loader, and wanted is its command
	// line.
	source text
	wanted cmdline
	// effective is the file that the loader reads, which may be source itself. Its
	// command line for this kernel is next.
	effective text
	next      cmdline
	// other is the file of the loader that is not used, with its command line.
	other      text
	otherLine  cmdline
	release    string
	proxmoxESP bool // proxmox-boot-tool manages the EFI partitions
	rocky      bool // Rocky, RHEL, Fedora: grubby and dracut
	dracut     bool
	suse       bool
	inBLS      bool // entries of the Boot Loader Specification
}

// readBoot reads the configuration of the boot loader.
func readBoot(tree hosttree.Reader, release string, system map[string]string) boot {
	b := boot{release: release, running: read(tree, "proc/cmdline")}
	b.now = parseCmdline(b.running.body)
	like := " " + system["ID"] + " " + system["ID_LIKE"] + " "
	b.rocky = strings.Contains(like, " rhel ") || strings.Contains(like, " fedora ")
	b.suse = strings.Contains(like, " suse ")
	b.proxmoxESP = read(tree, "etc/kernel/proxmox-boot-uuids").ok()
	b.dracut = b.rocky || b.suse || !exists(tree, "etc/initramfs-tools") && exists(tree, "etc/dracut.conf")
	kernelCmdline, grub := read(tree, "etc/kernel/cmdline"), readGRUB(tree)
	b.loader, b.told = loaderOf(b, kernelCmdline, grub.source)
	switch b.loader {
	case loaderSystemd:
		b.source, b.wanted = kernelCmdline, parseCmdline(kernelCmdline.body)
		b.effective, b.next = b.source, b.wanted
		b.other, b.otherLine = grub.source, grub.line
	case loaderGRUB:
		b.source, b.wanted = grub.source, grub.line
		b.effective, b.next = grubConfig(tree, release)
		if b.inBLS = strings.HasPrefix(b.effective.name, "boot/loader/"); b.effective.absent() {
			b.effective, b.next = b.source, b.wanted
		}
		b.other, b.otherLine = kernelCmdline, parseCmdline(kernelCmdline.body)
	}
	return b
}

// loaderOf recognizes the loader by the options that it adds to the command line,
// otherwise by its files.
func loaderOf(b boot, kernelCmdline, grub text) (loader, told string) {
	switch {
	case b.now.named("BOOT_IMAGE"):
		return loaderGRUB, "GRUB started this kernel (BOOT_IMAGE= on the command line)"
	case strings.Contains(b.running.body, `initrd=\`):
		return loaderSystemd, `systemd-boot started this kernel (initrd=\ on the command line)`
	case b.proxmoxESP && kernelCmdline.ok():
		return loaderSystemd, "/etc/kernel/proxmox-boot-uuids and /etc/kernel/cmdline exist"
	case grub.ok():
		return loaderGRUB, "/etc/default/grub exists"
	}
	return "", "the command line does not show the boot loader"
}

// grubDefaults are the settings of /etc/default/grub and grub.d together.
type grubDefaults struct {
	source text
	line   cmdline
}

func readGRUB(tree hosttree.Reader) grubDefaults {
	g := grubDefaults{source: read(tree, "etc/default/grub")}
	values := assignments(nil, g.source.body)
	for _, part := range readAll(tree, "etc/default/grub.d", ".cfg") {
		if part.ok() {
			values = assignments(values, part.body)
			if !g.source.ok() {
				g.source = part
			}
		}
	}
	g.line = parseCmdline(values["GRUB_CMDLINE_LINUX"] + " " + values["GRUB_CMDLINE_LINUX_DEFAULT"])
	return g
}

// grubConfig returns the command line for the kernel in GRUB's own files: an entry
// of the Boot Loader Specification, or the first entry in grub.cfg.
func grubConfig(tree hosttree.Reader, release string) (text, cmdline) {
	for _, entry := range readAll(tree, "boot/loader/entries", "-"+release+".conf") {
		if options, ok := blsOptions(entry.body); ok && !strings.Contains(options, "$") {
			return entry, parseCmdline(options)
		}
	}
	var first text
	for _, name := range []string{"boot/grub/grub.cfg", "boot/grub2/grub.cfg"} {
		config := read(tree, name)
		if line, ok := grubLinux(config.body, release); ok {
			return config, line
		}
		if first.name == "" || config.hidden() {
			first = config
		}
	}
	if first.err == nil {
		first.err = errNoEntry
	}
	return first, nil
}

// blsOptions returns the line "options" of an entry.
func blsOptions(body string) (string, bool) {
	for line := range strings.Lines(body) {
		if options, is := strings.CutPrefix(strings.TrimSpace(line), "options "); is {
			return options, true
		}
	}
	return "", false
}

// grubLinux returns the options of the first line "linux FILE options" in grub.cfg
// for this kernel. Recovery entries come later in the file.
func grubLinux(body, release string) (cmdline, bool) {
	for line := range strings.Lines(body) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "linux" && fields[0] != "linuxefi" {
			continue
		}
		if release == "" || strings.HasSuffix(path.Base(fields[1]), "-"+release) {
			return parseCmdline(strings.Join(fields[2:], " ")), true
		}
	}
	return nil, false
}

// stale returns the options that were added to or removed from the edited file but
// not yet applied to the loader's own configuration.
func (b boot) stale() (added, removed []string) {
	if b.source.name == b.effective.name || b.inBLS || !b.source.ok() || !b.effective.ok() {
		return nil, nil
	}
	return less(b.wanted.relevant(), b.next.relevant()), less(b.next.relevant(), b.wanted.relevant())
}

// known reports whether the command line of the next boot could be read.
func (b boot) known() bool { return b.loader != "" && b.effective.ok() }

// apply is the command that applies the edited file to the loader.
func (b boot) apply() string {
	switch {
	case b.proxmoxESP:
		return "proxmox-boot-tool refresh"
	case b.loader == loaderSystemd:
		return "kernel-install add " + b.release + " /boot/vmlinuz-" + b.release
	case b.rocky || b.suse:
		return "grub2-mkconfig -o /boot/grub2/grub.cfg"
	}
	return "update-grub"
}

// addOption says how to add an option to the command line of this host.
func (b boot) addOption(option string) string {
	switch {
	case b.rocky:
		return shell.Command("grubby --update-kernel=ALL --args=%s", option) + ", then reboot"
	case b.loader == loaderSystemd:
		return "in /etc/kernel/cmdline add " + option + " at the end of its one line, then run " + b.apply() + " and reboot"
	case b.loader == loaderGRUB:
		return "in /etc/default/grub add " + option + " to GRUB_CMDLINE_LINUX_DEFAULT, then run " + b.apply() + " and reboot"
	}
	return "add " + option + " to the kernel's command line in the configuration of this host's boot loader, and reboot"
}

// dropOption says how to remove an option from the command line of this host.
func (b boot) dropOption(option string) string {
	switch {
	case b.rocky:
		return shell.Command("grubby --update-kernel=ALL --remove-args=%s", option) + ", then reboot"
	case b.loader == loaderSystemd:
		return "in /etc/kernel/cmdline remove " + option + ", then run " + b.apply() + " and reboot"
	case b.loader == loaderGRUB:
		return "in /etc/default/grub remove " + option + " from GRUB_CMDLINE_LINUX_DEFAULT and GRUB_CMDLINE_LINUX, then run " + b.apply() + " and reboot"
	}
	return "remove " + option + " from the kernel's command line in the configuration of this host's boot loader, and reboot"
}

// initramfs is the command that rebuilds the initramfs with the files of /etc.
func (b boot) initramfs() string {
	if b.dracut {
		return "dracut -f --regenerate-all"
	}
	return "update-initramfs -u -k all"
}

// exists reports whether a file or directory exists, or may exist.
func exists(tree hosttree.Reader, name string) bool {
	l := readDir(tree, name)
	return l.err == nil || !read(tree, name).absent()
}

// atLeast compares the first two numbers of a kernel release such as "6.14.8-2-pve".
// ok is false when it does not have them.
func atLeast(release string, major, minor int) (yes, ok bool) {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return false, false
	}
	a, err := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return a > major || a == major && b >= minor, err == nil && err2 == nil
}
