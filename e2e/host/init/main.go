//go:build linux

// Command init is the only process of the machines that e2e/host boots: it mounts the
// kernel's file systems, loads the modules in /modules, and then serves requests on the
// second serial line (package call).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// alone is the time without a request after which the machine turns itself off.
const alone = 5 * time.Minute

// line is the serial line of the test.
const line = "/dev/ttyS1"

func main() {
	if err := start(); err != nil {
		// When a machine does not boot, the test prints its console.
		fmt.Println("init:", err)
	}
	off()
}

func off() { _ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF) }

func start() error {
	// The initramfs of an installed system passes "up" when it has done these steps.
	up := len(os.Args) > 1 && os.Args[1] == "up"
	if !up {
		if err := mountAll(); err != nil {
			return err
		}
		if err := loadAll("/modules"); err != nil {
			return err
		}
	}
	tty, err := os.OpenFile(line, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := raw(tty); err != nil {
		return fmt.Errorf("set %s to raw mode: %w", line, err)
	}
	return serve(tty)
}

func mountAll() error {
	for _, m := range []struct{ kind, dir string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return nil
}

// prepared is the boot script of gpuworker-host.
const prepared = "/etc/gpuworker-host/boot"

// loadAll loads the modules in the file order: each after those that it needs, and
// those of VFIO first. After those, it runs the boot script of gpuworker-host, like an
// initramfs: before a driver of the host can take a card.
func loadAll(dir string) error {
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		image, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		options := []byte{0}
		_, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE,
			uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(&options[0])))
		if errno != 0 {
			fmt.Printf("init: load %s: %v\n", name, errno)
		}
		if name != "vfio-pci.ko" {
			continue
		}
		if _, err := os.Stat(prepared); err == nil {
			if out, err := exec.Command("/bin/sh", prepared).CombinedOutput(); err != nil || len(out) > 0 {
				fmt.Printf("init: %s: %v\n%s", prepared, err, out)
			}
		}
	}
	return nil
}

// raw turns off all processing of bytes by a terminal.
func raw(tty *os.File) error {
	var t syscall.Termios
	if err := control(tty, syscall.TCGETS, &t); err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cc[syscall.VMIN], t.Cc[syscall.VTIME] = 1, 0
	return control(tty, syscall.TCSETS, &t)
}

func control(tty *os.File, request uintptr, t *syscall.Termios) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, tty.Fd(), request, uintptr(unsafe.Pointer(t))); errno != 0 {
		return errno
	}
	return nil
}

// serve first sends an empty Reply to show that it is ready. Then it answers requests
// until the line is closed or the machine is turned off.
func serve(tty *os.File) error {
	out := json.NewEncoder(tty)
	if err := out.Encode(call.Reply{}); err != nil {
		return err
	}
	h := &hands{held: map[string][]*os.File{}}
	in := bufio.NewReaderSize(tty, 1<<16)
	// A test that was killed does not turn the machine off.
	forgotten := time.AfterFunc(alone, off)
	for {
		forgotten.Reset(alone)
		text, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("read %s: %w", line, err)
		}
		var r call.Request
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%q is not a request: %w", text, err)
		}
		if r.Op == call.Off {
			return nil
		}
		if err := out.Encode(h.do(r)); err != nil {
			return err
		}
	}
}
