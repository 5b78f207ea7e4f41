package bind

import (
	_ "embed" // the files of the boot
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

//go:embed boot/boot.sh
var bootScript string

//go:embed boot/initramfs-hook.sh
var initramfsHook string

//go:embed boot/initramfs-top.sh
var initramfsTop string

//go:embed boot/dracut-module.sh
var dracutModule string

//go:embed boot/dracut-pre-udev.sh
var dracutPreUdev string

//go:embed boot/udev.rules
var udevRules string

// File is a file of ours.
type File struct {
	Name string
	Data []byte
	Mode fs.FileMode
}

// Mechanism is how this host keeps a card bound over a reboot.
type Mechanism struct {
	Name    string     // "initramfs-tools", "dracut" or "udev"
	Shared  []File     // that all cards need
	Stale   []string   // files of ours that another mechanism would need: there was another program before
	Rebuild [][]string // commands that make the initramfs anew
	Images  []string   // that the card's file must be in afterwards
	Lister  string     // command that lists an image
}

// FindMechanism chooses by what is installed, not by the distribution's name.
// Before udev is the only place where no driver of the host can be faster: a
// driver takes all cards that it matches when it is loaded for the first one.
func FindMechanism(tree hosttree.Reader) Mechanism {
	m := Mechanism{Name: "udev"}
	switch {
	// From Debian 14 on dracut brings an update-initramfs too, and knows no hooks of
	// initramfs-tools; what those are for is mkinitramfs.
	case Installed(tree, "update-initramfs") && (Installed(tree, "mkinitramfs") || !Installed(tree, "dracut")):
		m.Name, m.Lister = "initramfs-tools", "lsinitramfs"
		m.Rebuild = [][]string{{"update-initramfs", "-u", "-k", "all"}}
		m.Images = images(tree, "initrd.img-", "")
		if _, err := tree.ReadFile("etc/kernel/proxmox-boot-uuids"); err == nil {
			m.Rebuild = append(m.Rebuild, []string{"proxmox-boot-tool", "refresh"})
		}
	case Installed(tree, "dracut"):
		m.Name, m.Lister = "dracut", "lsinitrd"
		m.Rebuild = [][]string{{"dracut", "-f", "--regenerate-all"}}
		m.Images = append(images(tree, "initramfs-", ".img"), images(tree, "initrd.img-", "")...) // Debian's have their old names
	}
	for _, f := range sharedFiles() {
		if f.mechanism == "" || f.mechanism == m.Name {
			m.Shared = append(m.Shared, f.File)
		} else {
			m.Stale = append(m.Stale, f.Name)
		}
	}
	return m
}

// shared is a file that all cards need, of one mechanism or of all ("").
type shared struct {
	mechanism string
	File
}

// sharedFiles are made once: they are looked at before each step.
var sharedFiles = sync.OnceValue(func() []shared {
	const dracut = "usr/lib/dracut/modules.d/90gpuworker-host"
	return []shared{
		{"", File{"etc/gpuworker-host/boot", seal(bootScript), 0o755}},
		{"", File{"etc/udev/rules.d/05-gpuworker-host.rules", seal(udevRules), 0o644}},
		{"initramfs-tools", File{"etc/initramfs-tools/hooks/gpuworker-host", seal(initramfsHook), 0o755}},
		{"initramfs-tools", File{"etc/initramfs-tools/scripts/init-top/gpuworker-host", seal(initramfsTop), 0o755}},
		{"dracut", File{dracut + "/module-setup.sh", seal(dracutModule), 0o755}},
		{"dracut", File{dracut + "/pre-udev.sh", seal(dracutPreUdev), 0o755}},
	}
})

// Installed reports whether a program of the system is installed.
func Installed(tree hosttree.Reader, name string) bool {
	for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin"} {
		if names, err := tree.ReadDir(dir); err == nil && slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// images are the initramfs of the kernels that are installed. Others, such as
// that of a rescue system, are not made anew.
func images(tree hosttree.Reader, before, after string) []string {
	kernels := map[string]bool{}
	for _, dir := range []string{"lib/modules", "usr/lib/modules"} {
		names, _ := tree.ReadDir(dir)
		for _, name := range names {
			kernels[name] = true
		}
	}
	var images []string
	names, _ := tree.ReadDir("boot")
	for _, name := range names {
		version, ok := strings.CutPrefix(name, before)
		if version, more := strings.CutSuffix(version, after); ok && more && kernels[version] {
			images = append(images, path.Join("/boot", name))
		}
	}
	return images
}

// inImage reports whether a listing of an initramfs has a file: lsinitramfs writes
// names, lsinitrd lines like those of ls -l.
func inImage(listing, file string) bool {
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if n := len(fields); n > 0 && strings.TrimPrefix(fields[n-1], "./") == file {
			return true
		}
	}
	return false
}

// foreign says which files of ours are there and are not ours. A link never is: who
// wants no udev rule of ours makes one to /dev/null.
func foreign(files hosttree.Reader, names []string) []string {
	var odd []string
	for _, name := range names {
		if target, err := files.Readlink(name); err == nil {
			odd = append(odd, fmt.Sprintf("/%s: it is a link to %s", name, target))
			continue
		}
		data, err := files.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = unseal(data)
		}
		if err != nil {
			odd = append(odd, fmt.Sprintf("/%s: %v", name, err))
		}
	}
	return odd
}
