package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	guestcli "github.com/gpuworker/gpuworker/internal/guest/cli"
)

// asProgram is the environment variable that makes this test binary run as the program
// itself, for the guest in that directory.
const asProgram = "TEST_AS_GPUWORKER_GUEST"

func TestMain(m *testing.M) {
	if root := os.Getenv(asProgram); root != "" {
		tool := &guestcli.Tool{Out: os.Stdout, Err: os.Stderr, Version: buildinfo.Info{Version: "v0.3.0"}, Root: root, Dirs: []string{filepath.Join(root, "bin")}}
		os.Exit(run(tool, os.Args[1:]))
	}
	os.Exit(m.Run())
}

const kernel = "6.8.0-45-generic"

// commands are the programs of the guest, as shell scripts that change its files. apt-get
// install tells when it has begun, and then waits, while FIFOs of these names exist.
var commands = map[string]string{
	"apt-get": `case "$*" in *install*) ;; *) exit 0 ;; esac
echo $$ > $ROOT/apt.pid
if [ -p $ROOT/began ]; then echo > $ROOT/began; read x < $ROOT/go; fi
for name in "$@"; do case "$name" in linux-*|nvidia-*)
  printf 'Package: %s\nStatus: install ok installed\nVersion: 580.95.05-1\n\n' "$name" >> $ROOT/var/lib/dpkg/status ;;
esac; done
echo "kernel/nvidia.ko:" > $ROOT/lib/modules/` + kernel + `/modules.dep`,
	"apt-mark": `sed -i 's/^Status: install ok/Status: hold ok/' $ROOT/var/lib/dpkg/status`,
	"modprobe": `mkdir -p $ROOT/proc/driver/nvidia
echo "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build" > $ROOT/proc/driver/nvidia/version
printf 'nvidia 1 0 - Live 0x0\nnvidia_uvm 1 0 - Live 0x0\n' > $ROOT/proc/modules
touch $ROOT/dev/nvidia0 $ROOT/dev/nvidiactl $ROOT/dev/nvidia-uvm`,
	"nvidia-smi": `echo "GPU 0: Tesla T4 (UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689)"`,
	"systemctl":  `exit 0`,
}

// newGuest is a guest in a directory.
func newGuest(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	const uuid = "6e3c9f0a-1111-4222-8333-123456789abc"
	files := map[string]string{
		"sys/class/dmi/id/product_uuid": uuid + "\n", "proc/sys/kernel/osrelease": kernel + "\n", "proc/sys/kernel/random/boot_id": "boot-0\n", "proc/modules": "",
		"etc/os-release":                         "ID=ubuntu\nVERSION_ID=\"24.04\"\n",
		"etc/gpuworker/orders.json":              `{"version":1,"program":"v0.3.0","worker":"gpu-1","uuid":"` + uuid + `","driver":{"strategy":"Packages","branch":"580","open":true},"gpu":{"id":"10de:1eb8"}}`,
		"etc/apt/apt.conf.d/20auto-upgrades":     "",
		"var/lib/dpkg/status":                    "",
		"lib/modules/" + kernel + "/modules.dep": "",
		"sys/firmware/x":                         "", "dev/null": "",
		"sys/bus/pci/devices/0000:00:10.0/class":  "0x030200\n",
		"sys/bus/pci/devices/0000:00:10.0/vendor": "0x10de\n",
		"sys/bus/pci/devices/0000:00:10.0/device": "0x1eb8\n",
	}
	for name, text := range commands {
		files["bin/"+name] = "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nROOT=" + root + "\n" + text + "\n"
	}
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// program returns a command that runs gpuworker-guest in a guest, not yet started.
func program(t *testing.T, root string, args ...string) (cmd *exec.Cmd, output *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"="+root)
	output = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

func code(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// fifo makes a FIFO that apt-get of the guest uses.
func fifo(t *testing.T, root, name string) string {
	t.Helper()
	file := filepath.Join(root, name)
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheProgramMakesAWorkerAndOnlyRootReadsItsFiles(t *testing.T) {
	root := newGuest(t)
	cmd, output := program(t, root, "bootstrap")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, name := range []string{guest.StatusFile, guest.LogFile, "/var/lib/gpuworker/lock", "/var/lib/gpuworker/held"} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, args := range []string{"status", "status -o json", "check", "gate", "seal --worker gpu-1", "reset"} {
		cmd, output := program(t, root, strings.Fields(args)...)
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v\n%s", args, err, output)
		}
	}
}

// The program is killed while apt-get runs. apt-get may go on alone, or be killed too, as
// systemd does. The next run does the rest.
func TestARealKillDuringAptGetIsRepaired(t *testing.T) {
	for _, both := range []bool{false, true} {
		root := newGuest(t)
		began, goOn := fifo(t, root, "began"), fifo(t, root, "go")
		cmd, _ := program(t, root, "bootstrap")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		readFile(t, began) // returns when apt-get has begun
		second, output := program(t, root, "bootstrap")
		if err := second.Run(); code(err) != fault.ExitConflict || !strings.Contains(output.String(), "process "+strconv.Itoa(cmd.Process.Pid)) {
			t.Errorf("a second run beside it: %v\n%s", err, output)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if both {
			pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, filepath.Join(root, "apt.pid"))))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(goOn, []byte("x\n"), 0); err != nil {
			t.Fatal(err)
		}
		status, err := guest.ParseStatus([]byte(readFile(t, filepath.Join(root, guest.StatusFile))))
		if err != nil || status.Ready {
			t.Errorf("after the kill: %+v, %v", status, err)
		}
		if err := errors.Join(os.Remove(began), os.Remove(goOn)); err != nil {
			t.Fatal(err)
		}
		again, output := program(t, root, "bootstrap")
		if err := again.Run(); err != nil {
			t.Fatalf("apt-get killed too: %t: %v\n%s", both, err, output)
		}
		gate, output := program(t, root, "gate")
		if err := gate.Run(); err != nil {
			t.Errorf("gate: %v\n%s", err, output)
		}
	}
}

// SIGTERM does not cut apt-get off: the program waits for it, and then ends.
func TestASignalLetsAptGetFinish(t *testing.T) {
	root := newGuest(t)
	began, goOn := fifo(t, root, "began"), fifo(t, root, "go")
	cmd, output := program(t, root, "bootstrap")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readFile(t, began)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goOn, []byte("x\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); code(err) != fault.ExitInterrupted || !strings.Contains(readFile(t, filepath.Join(root, "var/lib/dpkg/status")), "nvidia-utils") {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestTheGateFailsAndTellsWhyWhenTheCardIsTakenAway(t *testing.T) {
	root := newGuest(t)
	cmd, output := program(t, root, "bootstrap")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if err := os.RemoveAll(filepath.Join(root, "sys/bus/pci/devices/0000:00:10.0")); err != nil {
		t.Fatal(err)
	}
	gate, output := program(t, root, "gate")
	if err := gate.Run(); code(err) != fault.ExitCheck || !strings.Contains(output.String(), "GUEST-GPU-MISSING") {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestAFullDiskIsNoSuccess(t *testing.T) {
	root := newGuest(t)
	for _, args := range []string{"version", "explain", "explain -o json", "help", "check -h"} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd, complaint := program(t, root, strings.Fields(args)...)
		cmd.Stdout = full
		if err := cmd.Run(); code(err) == 0 || !strings.Contains(complaint.String(), "no space left on device") {
			t.Errorf("%s: %v, %q", args, err, complaint)
		}
		if err := full.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
