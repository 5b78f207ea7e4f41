package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// script puts a shell script into a directory of programs.
func script(t *testing.T, name, text string) Local {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return Local{Dirs: []string{dir, "/usr/bin", "/bin"}}
}

func TestACommandReturnsItsCodeAndBothStreams(t *testing.T) {
	c := Command{Name: "tool", Args: []string{"a b"}, Env: []string{"X=1"}, Timeout: time.Minute}
	r := script(t, "tool", `echo "out $1 $X"; echo "E: no space left" >&2; echo done; exit 3`).Run(t.Context(), c)
	if r.State != Ended || r.Code != 3 || r.Output != "out a b 1\nE: no space left\ndone\n" {
		t.Errorf("%+v", r)
	}
	if problem := r.Problem(c); problem != "tool ended with exit code 3: E: no space left" {
		t.Errorf("%q", problem)
	}
}

func TestAMissingProgramIsNotAFailureOfTheProgram(t *testing.T) {
	r := Local{Dirs: []string{t.TempDir()}}.Run(t.Context(), Command{Name: "tool", Timeout: time.Minute})
	if r.State != NotFound || r.OK() {
		t.Errorf("%+v", r)
	}
}

func TestACommandThatDoesNotEndIsKilledWithItsChildren(t *testing.T) {
	c := Command{Name: "tool", Timeout: 50 * time.Millisecond}
	r := script(t, "tool", "sleep 1000 & echo $!; wait").Run(t.Context(), c)
	if r.State != TimedOut || !strings.Contains(r.Problem(c), "did not end within 50ms") {
		t.Errorf("%+v", r)
	}
	pid := strings.TrimSpace(r.Output)
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if pid != "" && err == nil && !strings.Contains(string(stat), ") Z") {
		t.Errorf("its child still runs: %s", stat)
	}
}

func TestOnlyTheEndOfTheOutputIsKept(t *testing.T) {
	r := script(t, "tool", "head -c 200000 /dev/zero | tr '\\0' x; echo; echo last").Run(t.Context(), Command{Name: "tool", Timeout: time.Minute})
	if len(r.Output) != MaxOutput || !strings.HasSuffix(r.Output, "x\nlast\n") {
		t.Errorf("%d bytes, %q", len(r.Output), r.Output[max(0, len(r.Output)-20):])
	}
}

func TestACapturedGuestAnswersCommands(t *testing.T) {
	tree := hosttree.NewArchive()
	tree.WriteFile("captured/commands/nvidia-smi -L", []byte("exit 18\nFailed\n"))
	tree.WriteFile("captured/commands/rpm -qa", []byte("nonsense"))
	tree.WriteFile("captured/commands/lspci", []byte("timeout\n"))
	for _, test := range []struct {
		c    Command
		want Result
	}{
		{Command{Name: "nvidia-smi", Args: []string{"-L"}}, Result{State: Ended, Code: 18, Output: "Failed\n"}},
		{Command{Name: "rpm", Args: []string{"-qa"}}, Result{State: Broken, Why: "its captured output has no exit code"}},
		{Command{Name: "lspci"}, Result{State: TimedOut}},
		{Command{Name: "other"}, Result{State: NotFound}},
	} {
		if got := (Captured{tree}).Run(t.Context(), test.c); got != test.want {
			t.Errorf("%s: %+v", test.c, got)
		}
	}
}

func TestOnlyProxiesOfTheEnvironmentReachACommand(t *testing.T) {
	t.Setenv("https_proxy", "http://proxy.example.org:3128")
	t.Setenv("NO_PROXY", "10.0.0.0/8")
	t.Setenv("LD_PRELOAD_NOT", "x")
	r := script(t, "tool", `env | sort | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^PATH= -e ^OLDPWD=`).Run(t.Context(), Command{Name: "tool", Timeout: time.Minute})
	for _, want := range []string{"HOME=/root\n", "LC_ALL=C\n", "NO_PROXY=10.0.0.0/8\n", "https_proxy=http://proxy.example.org:3128\n"} {
		if !strings.Contains(r.Output, want) {
			t.Errorf("no %q in %q", want, r.Output)
		}
	}
	if strings.Contains(r.Output, "LD_PRELOAD_NOT") {
		t.Errorf("%q", r.Output)
	}
}
