package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/e2e/host/call"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// systemVariable names the Debian system that prepare-system installed. Without it,
// the tests with a real initramfs are skipped.
const systemVariable = "GPUWORKER_E2E_SYSTEM"

// maker is a program that builds an initramfs, with the option that stops a boot after
// udev has loaded drivers and before the root file system is mounted.
type maker struct {
	name   string
	absent string // a program that must be missing on the host
	stop   string
	kernel string
}

var makers = []maker{
	{name: "initramfs-tools", stop: "scripts/init-premount/ORDER"},
	{name: "dracut", absent: "usr/sbin/update-initramfs", stop: "usr/lib/dracut/hooks/initqueue/00-e2e.sh", kernel: "root=/dev/nowhere"},
}

// TestARealInitramfsBindsTheCard prepares the next boot of an installed system whose
// initramfs contains the host's drivers for the card. It boots this initramfs and
// checks that the card is on vfio-pci. Then it does the same after unbind.
func TestARealInitramfsBindsTheCard(t *testing.T) {
	system := os.Getenv(systemVariable)
	if system == "" {
		t.Skip("left out: it needs a Debian system, from e2e/host/prepare-system")
	}
	t.Parallel()
	l := theLab(t)
	installed := intel
	installed.name = "installed"
	hardware := boot(t, installed).captured(t)
	for _, m := range makers {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := install(t, system, hardware, m)
			s.tool(t, "bind", card, "--at-next-boot", "--yes")
			next := intel
			next.name, next.initrd = m.name, s.initrd(t, l, m)
			next.kernel += " " + m.kernel
			g := boot(t, next)
			g.has(t, given)
			g.exits(t, 0, "assert", card, "--bound")

			s.tool(t, "unbind", card, "--yes")
			next.name, next.initrd = m.name+" again", s.initrd(t, l, m)
			g = boot(t, next)
			if driver := g.leads(t, pciDevices+sound+"/driver"); driver != "snd_hda_intel" {
				t.Errorf("after unbind and a reboot the sound is on %q", driver)
			}
			for name := range g.files(t, "/etc/gpuworker-host") {
				t.Errorf("unbind leaves %s in the initramfs", name)
			}
		})
	}
}

// captured returns the machine's hardware as a capture.
func (g *guest) captured(t *testing.T) *hosttree.Archive {
	t.Helper()
	const file = "/tmp/hardware.txt"
	g.exits(t, 0, "capture", "-o", file)
	tree, err := hosttree.Parse([]byte(g.do(t, call.Request{Op: call.Read, Path: file}).Text))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// system is an installed system in a directory.
type system string

// install copies a system and adds files in place of sysfs, which are enough for
// programs that only read.
func install(t *testing.T, from string, hardware *hosttree.Archive, m maker) system {
	t.Helper()
	to := filepath.Join(scratch, "system-"+m.name)
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { os.RemoveAll(to) })
	if m.absent != "" {
		if err := os.Remove(filepath.Join(to, m.absent)); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(filepath.Join(scratch, "gpuworker-host"))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "usr/local/sbin/gpuworker-host"), program, 0o755)
	}
	if err == nil {
		err = unpack(hardware, "sys", to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return system(to)
}

// unpack writes a tree into a directory.
func unpack(tree *hosttree.Archive, name, to string) error {
	file := filepath.Join(to, name)
	if target, err := tree.Readlink(name); err == nil {
		return os.Symlink(target, file)
	}
	data, err := tree.ReadFile(name)
	switch {
	case err == nil:
		return os.WriteFile(file, data, 0o600)
	case errors.Is(err, fs.ErrPermission): // was not readable when captured
		return nil
	}
	if err := os.MkdirAll(file, 0o755); err != nil {
		return err
	}
	names, err := tree.ReadDir(name)
	for _, below := range names {
		if err := unpack(tree, path.Join(name, below), to); err != nil {
			return err
		}
	}
	return err
}

// tool runs gpuworker-host in the system.
func (s system) tool(t *testing.T, args ...string) {
	t.Helper()
	const enter = `mount -t proc proc "$0/proc" && exec chroot "$0" gpuworker-host "$@"`
	command := exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "sh", "-c", enter, string(s)}, args...)...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("gpuworker-host %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// initrd returns the system's initramfs, changed to start the machine's /init where it
// would mount the root file system.
func (s system) initrd(t *testing.T, l *lab, m maker) string {
	t.Helper()
	image := filepath.Join(string(s), "boot", "initrd.img-"+l.version)
	made, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	more := archive{}
	// /bin is a link there, and a directory in its place would hide all programs.
	for name, from := range map[string]string{"gpuworker-e2e": "init", "usr/bin/gpuworker-host": "gpuworker-host"} {
		if err := more.copy(name, filepath.Join(scratch, from)); err != nil {
			t.Fatal(err)
		}
	}
	more.add(m.stop, []byte("exec /gpuworker-e2e up\n"))
	names, err := os.ReadDir(filepath.Join(string(s), journals))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := more.copy(path.Join(journals, name.Name())[1:], filepath.Join(string(s), journals, name.Name())); err != nil {
			t.Fatal(err)
		}
	}
	made = append(made, bytes.Repeat([]byte{0}, -len(made)&3)...)
	if err := os.WriteFile(image+".e2e", append(made, more.bytes()...), 0o600); err != nil {
		t.Fatal(err)
	}
	return image + ".e2e"
}
