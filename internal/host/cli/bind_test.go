package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/golden"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// lab runs the program on a simulated host.
type lab struct {
	*sysfsim.Host
	machine hostbind.Machine
}

func newLab(t *testing.T) *lab {
	t.Helper()
	disk, err := hostbind.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	l := &lab{Host: sysfsim.New(sysfsim.Common().Archive)}
	l.machine = hostbind.Machine{Tree: l.Host, Files: disk, Kernel: l.Host, Runner: l, Deadline: 1}
	return l
}

// Run implements hostbind.Runner.
func (l *lab) Run(_ context.Context, _ io.Writer, argv ...string) (string, error) {
	return "", l.Modprobe(argv[1])
}

// Ask implements hostbind.Runner.
func (l *lab) Ask(context.Context, ...string) (string, error) { return "", fs.ErrNotExist }

func (l *lab) run(args ...string) (code int, out, complaint string) {
	var stdout, stderr bytes.Buffer
	machine := l.machine
	tool := &Tool{Out: &stdout, Err: &stderr, Host: &machine}
	return tool.Main(args), stdout.String(), stderr.String()
}

const gpu = sysfsim.TwoFunctions + ".0"

func TestBindPrintsItsPlanAndDoesNothingWithoutYes(t *testing.T) {
	code, out, complaint := run(t, "workstation.txt", "bind", "01:00.0", "--console-loss-ok", "--at-next-boot")
	if code != fault.ExitOK || complaint != "" {
		t.Errorf("exit %d: %s", code, complaint)
	}
	golden.Compare(t, "testdata/bind.golden", out)
	code, out, _ = run(t, "workstation.txt", "bind", "01:00.0")
	if code != fault.ExitCheck || !strings.Contains(out, "ONLY-CONSOLE") || !strings.Contains(out, "process 80 (Xorg)") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestBindAssertAndUnbind(t *testing.T) {
	l := newLab(t)
	for _, step := range []struct {
		args   string
		code   int
		says   string
		driver string
	}{
		{"assert " + gpu + " --bound", fault.ExitDiffers, gpu + " is on nouveau", "nouveau"},
		{"unbind " + gpu, fault.ExitOK, "is not bound: nothing to do", "nouveau"},
		{"bind " + gpu, fault.ExitOK, "Nothing was done. To do it: gpuworker-host bind 0000:01:00.0 --yes", "nouveau"},
		{"bind " + gpu + " --yes", fault.ExitOK, "Done: 0000:01:00.0 is on vfio-pci.", "vfio-pci"},
		{"bind " + gpu + " --yes", fault.ExitOK, "nothing to do", "vfio-pci"},
		{"assert " + gpu + " --bound", fault.ExitOK, "", "vfio-pci"},
		{"unbind " + gpu, fault.ExitOK, "gpuworker-host unbind 0000:01:00.0 --yes", "vfio-pci"},
		{"unbind " + gpu + " --yes", fault.ExitOK, "Done: 0000:01:00.0 is on its previous drivers.", "nouveau"},
		{"bind " + sysfsim.SharedGroup + ".0 --yes", fault.ExitCheck, "GROUP-SHARED", "nouveau"},
		{"bind 0000:77:00.0 --yes", fault.ExitFailed, "there is no device at 0000:77:00", "nouveau"},
		{"bind " + gpu + " --at-next-boot --yes", fault.ExitOK, "Reboot the host at a convenient time", "nouveau"},
	} {
		code, out, complaint := l.run(strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+complaint, step.says) || l.Driver(gpu) != step.driver {
			t.Errorf("%s: exit %d, on %q\n%s%s", step.args, code, l.Driver(gpu), out, complaint)
		}
	}
}

func TestYesNeedsTheWholeAddress(t *testing.T) {
	for _, args := range []string{"bind 01:00.0 --yes", "unbind 01:00.0 --yes", "bind 0000:01:00 --yes", "bind --yes", "bind", "bind " + gpu + " " + gpu, "assert " + gpu,
		"bind " + gpu + " --at-next-boot --no-persist", "bind 10de:1b80"} {
		l := newLab(t)
		if code, out, complaint := l.run(strings.Fields(args)...); code != fault.ExitInvalid || len(l.Writes()) > 0 {
			t.Errorf("%s: exit %d\n%s%s", args, code, out, complaint)
		}
	}
	if code, _, complaint := run(t, "workstation.txt", "bind", "0000:01:00.0", "--yes"); code != fault.ExitInvalid || !strings.Contains(complaint, "this machine only") {
		t.Errorf("on a captured host: exit %d: %s", code, complaint)
	}
}

func TestAStuckCardHasAnExitCodeOfItsOwn(t *testing.T) {
	l := newLab(t)
	l.Use(gpu, true)
	for _, args := range []string{"bind " + gpu + " --yes", "bind " + gpu, "unbind " + gpu + " --yes", "assert " + gpu + " --bound", "bind " + gpu + " --yes -o json"} {
		if code, out, complaint := l.run(strings.Fields(args)...); code != fault.ExitStuck || !strings.Contains(complaint, "before the host is rebooted") {
			t.Errorf("%s: exit %d\n%s%s", args, code, out, complaint)
		}
	}
}

func TestThePlanAndItsResultInJSON(t *testing.T) {
	l := newLab(t)
	for _, test := range []struct {
		args string
		code int
		done bool
	}{{"bind " + gpu, fault.ExitOK, false}, {"bind " + gpu + " --yes", fault.ExitOK, true}, {"bind " + sysfsim.SharedGroup + ".0 --yes", fault.ExitCheck, false}} {
		code, out, complaint := l.run(append(strings.Fields(test.args), "-o", "json")...)
		var view struct {
			BDF     string
			Steps   []hostbind.Step
			Refused []hostbind.Reason
			Done    bool
		}
		if err := json.Unmarshal([]byte(out), &view); err != nil || code != test.code || view.Done != test.done || len(view.Steps) == 0 || (code == fault.ExitCheck) != (len(view.Refused) > 0) {
			t.Errorf("%s: exit %d, %v\n%s%s", test.args, code, err, out, complaint)
		}
	}
}

func TestTheHiddenCommandWritesOneAttribute(t *testing.T) {
	dir := t.TempDir()
	if code, out, _ := run(t, "", hostbind.WriteVerb, dir, "nothing", "x"); code != fault.ExitOK || out != "errno 2\n" {
		t.Errorf("exit %d: %q", code, out)
	}
	if matches, _ := filepath.Glob(dir + "/*"); len(matches) > 0 {
		t.Errorf("it made %v", matches)
	}
}
