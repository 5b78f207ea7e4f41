package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bindScript runs files/bind_gpu.sh of the module with these programs in PATH, besides
// those of the system.
func bindScript(t *testing.T, programs string, args ...string) (out string, code int) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("not run: it needs bash; install it")
	}
	script, err := filepath.Abs(filepath.Join(root, "terraform/modules/gpu_worker/files/bind_gpu.sh"))
	must(t, err)
	command := exec.CommandContext(t.Context(), "bash", append([]string{script}, args...)...)
	command.Env = []string{"PATH=" + programs + ":/usr/bin:/bin"}
	text, _ := command.CombinedOutput()
	return string(text), command.ProcessState.ExitCode()
}

func TestTheBindScriptCallsGpuworkerHost(t *testing.T) {
	programs := t.TempDir()
	must(t, goBuild(filepath.Join(root, "cmd/gpuworker-host"), filepath.Join(programs, "gpuworker-host")))

	// A dry run for a card that no machine has. The address is written as the program wants it.
	out, code := bindScript(t, programs, "FFFF:FE:1F.7")
	if code == 0 || !strings.Contains(out, "ffff:fe:1f.7") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	want, _ := exec.CommandContext(t.Context(), filepath.Join(programs, "gpuworker-host"), "bind", "ffff:fe:1f.7").CombinedOutput()
	if out != string(want) {
		t.Errorf("the script prints:\n%s\nthe program prints:\n%s", out, want)
	}
	// Options go to the program.
	if out, code := bindScript(t, programs, "ffff:fe:1f.7", "--no-such-option"); code != 2 || !strings.Contains(out, "no-such-option") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestTheBindScriptRefuses(t *testing.T) {
	none := t.TempDir()
	for _, test := range []struct{ arg, want string }{
		{"03:00.0", "bind_gpu.sh: the first argument must be the full PCI address of a card, such as 0000:03:00.0; gpuworker-host list shows the addresses\n"},
		{"--yes", "bind_gpu.sh: the first argument must be the full PCI address of a card, such as 0000:03:00.0; gpuworker-host list shows the addresses\n"},
		{"0000:03:00.0", "bind_gpu.sh: gpuworker-host is not on this host: copy it to /usr/local/sbin; docs/hosts.md of gpuworker says how\n"},
	} {
		if out, code := bindScript(t, none, test.arg); code != 2 || out != test.want {
			t.Errorf("%s: exit code %d:\n%s", test.arg, code, out)
		}
	}
}

// The script is for people: nothing in the module runs a program.
func TestTheModulesRunNoProgram(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "terraform/modules/*/*.tf"))
	must(t, err)
	if len(files) < 8 {
		t.Fatalf("only %d files found", len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, word := range []string{"provisioner", "local-exec", "external"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s has %s", file, word)
			}
		}
	}
}
