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

// File is a file that gpuworker-host owns.
type File struct {
	Name string
	Data []byte
	Mode fs.FileMode
}

// Mechanism says how this host binds a card at boot.
type Mechanism struct {
	Name    string     // "initramfs-tools", "dracut" or "udev"
	Shared  []File     // files that all cards need
	Stale   []string   // files of the other mechanisms, left from a program that was installed before
	Rebuild [][]string // commands that rebuild the initramfs
	Images  []string   // images that must contain the card's file afterwards
	Lister  string     // command that lists the files of an image
}

// FindMechanism chooses by the installed programs, not by the distribution's name.
// The script must run before udev, otherwise a driver of the host can be faster:
// a driver takes all cards that it matches as soon as it is loaded for one.
func FindMechanism(tree hosttree.Reader) Mechanism {
	m := Mechanism{Name: "udev"}
	switch {
	// From Debian 14 on, dracut has an update-initramfs too, which ignores the hooks
	// of initramfs-tools. Only mkinitramfs proves that these hooks are run.
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
		m.Images = append(images(tree, "initramfs-", ".img"), images(tree, "initrd.img-", "")...) // Debian keeps the names of initramfs-tools
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

// shared is a file that all cards need, for one mechanism or for all ("").
type shared struct {
	mechanism string
	File
}

// sharedFiles is computed once, because each step needs it.
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

// images returns the initramfs files of installed kernels. Others, such as that of
// a rescue system, are not rebuilt.
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

// inImage reports whether a file is in the listing of an initramfs: lsinitramfs
// prints names, lsinitrd lines like those of ls -l.
func inImage(listing, file string) bool {
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if n := len(fields); n > 0 && strings.TrimPrefix(fields[n-1], "./") == file {
			return true
		}
	}
	return false
}

// foreignFiles says which of these files exist but were not written by
// gpuworker-host. A link never was: operators disable a udev rule by a link to
// /dev/null.
func foreignFiles(files hosttree.Reader, names []string) []string {
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
