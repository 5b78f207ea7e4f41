package host

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/e2e/qemu"
)

// labVariable names the directory that prepare created. Without it the tests are
// skipped.
const labVariable = "GPUWORKER_E2E_HOST"

// kept is a directory for output of the machines, such as captures for fixtures.
var kept = flag.String("keep", "", "put captures of the machines into this `directory`")

// lab holds the files that all machines boot.
type lab struct {
	kernel  string
	initrd  string
	shell   string // for the scripts of an initramfs
	qemu    *qemu.Emulator
	version string // of the kernel
}

// theLab builds the programs and packs them once for all machines. It skips the test
// when there is no kernel to boot.
func theLab(t *testing.T) *lab {
	t.Helper()
	if os.Getenv(labVariable) == "" {
		t.Skip("left out: it boots a real kernel in QEMU, which takes a minute or two; run it with: make e2e-host")
	}
	l, err := makeLab()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// scratch is the directory of the files that all machines share; TestMain removes it.
var scratch string

func TestMain(m *testing.M) {
	var err error
	// Not t.TempDir: the directory must outlive the first test, and the path of a socket
	// must be short.
	if scratch, err = os.MkdirTemp("", "gpuworker-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

var makeLab = sync.OnceValues(func() (*lab, error) {
	dir := os.Getenv(labVariable)
	l := &lab{kernel: filepath.Join(dir, "vmlinuz"), initrd: filepath.Join(scratch, "initrd"), shell: filepath.Join(dir, "busybox")}
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil {
		return nil, fmt.Errorf("%s=%s has no prepared kernel, see e2e/host/prepare: %w", labVariable, dir, err)
	}
	l.version = string(version[:len(version)-1])
	if l.qemu, err = qemu.Find(scratch); err != nil {
		return nil, err
	}
	return l, pack(l.initrd, dir)
})

// pack builds the programs and writes the initial file system of the machines.
func pack(initrd, dir string) error {
	a := archive{}
	for name, pkg := range map[string]string{"init": "./init", "bin/gpuworker-host": "../../cmd/gpuworker-host"} {
		file := filepath.Join(scratch, filepath.Base(name))
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
		if err := a.copy(name, file); err != nil {
			return err
		}
	}
	modules, err := filepath.Glob(filepath.Join(dir, "modules", "*"))
	if err != nil {
		return err
	}
	for _, file := range modules {
		if err := a.copy("modules/"+filepath.Base(file), file); err != nil {
			return err
		}
	}
	a.add("etc/os-release", []byte("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"))
	return os.WriteFile(initrd, a.bytes(), 0o600)
}

// withFiles returns the initial file system with a shell and more files. The kernel
// unpacks several archives in sequence.
func (l *lab) withFiles(name string, files map[string]string) (string, error) {
	first, err := os.ReadFile(l.initrd)
	if err != nil {
		return "", err
	}
	a := archive{}
	if err := a.copy("bin/sh", l.shell); err != nil {
		return "", err
	}
	for file, text := range files {
		a.add(strings.TrimPrefix(file, "/"), []byte(text))
	}
	initrd := filepath.Join(scratch, name+".initrd")
	return initrd, os.WriteFile(initrd, append(first, a.bytes()...), 0o600)
}
