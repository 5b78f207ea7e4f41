package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/golden"
)

// run runs the program on a captured host and returns what it printed.
func run(t *testing.T, host string, args ...string) (code int, out, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	tool := &Tool{Out: &stdout, Err: &stderr, Version: buildinfo.Info{Version: "v0.0.0-test", Commit: "0123456789ab", Go: "go1.26", Platform: "linux/amd64"}}
	if host != "" {
		args = append(args, "--root", filepath.Join("testdata", host))
	}
	return tool.Main(args), stdout.String(), stderr.String()
}

func TestListShowsCardsWithAllTheirFunctions(t *testing.T) {
	code, out, complaint := run(t, "workstation.txt", "list")
	if code != fault.ExitOK || complaint != "" {
		t.Errorf("exit %d: %s", code, complaint)
	}
	golden.Compare(t, "testdata/list.golden", out)
}

func TestListInJSONHasTheSameContent(t *testing.T) {
	code, out, _ := run(t, "workstation.txt", "list", "-o", "json")
	var view listView
	if err := json.Unmarshal([]byte(out), &view); err != nil || code != fault.ExitOK {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if len(view.Cards) != 2 || len(view.Cards[0].Functions) != 2 || view.Cards[1].Holders[0].VMID != 204 || len(view.Cards[1].Mates) != 1 {
		t.Errorf("%s", out)
	}
}

func TestAHostWithoutCardsIsReported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(file, []byte("-- sys/bus/pci/devices/ --\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(t, "", "list", "--root", file)
	if code != fault.ExitOK || out != "This host has no GPU.\n" {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestACaptureReadsLikeTheHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "captured.txt")
	if code, _, complaint := run(t, "workstation.txt", "capture", "-o", file); code != fault.ExitOK {
		t.Fatalf("exit %d: %s", code, complaint)
	}
	_, want, _ := run(t, "workstation.txt", "list")
	_, got, _ := run(t, "", "list", "--root", file)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _ := run(t, "workstation.txt", "capture", "-o", "-"); out != string(written) {
		t.Error("to the terminal goes something else:\n" + cmp.Diff(string(written), out))
	}
	if code, _, complaint := run(t, "workstation.txt", "capture", "-o", file); code != fault.ExitInvalid || !strings.Contains(complaint, "already exists") {
		t.Errorf("over a file that is there: exit %d: %s", code, complaint)
	}
}

func TestMetricsAreTextForNodeExporter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gpu.prom")
	if code, _, complaint := run(t, "workstation.txt", "metrics", "-o", file); code != fault.ExitOK {
		t.Fatalf("exit %d: %s", code, complaint)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/metrics.golden", string(data))
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"lst"}, {"list", "x"}, {"list", "--bogus"}, {"list", "-o", "yaml"}, {"list", "--root", "/nowhere"}, {"capture"}, {"metrics", "x"},
	} {
		if code, out, complaint := run(t, "", args...); code != fault.ExitInvalid || complaint == "" || out != "" {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, complaint)
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	_, out, _ := run(t, "", "help")
	for _, c := range commands() {
		if !strings.Contains(out, "\n  "+c.name) {
			t.Errorf("%s is not in the help:\n%s", c.name, out)
		}
		if code, text, _ := run(t, "", c.name, "-h"); code != fault.ExitOK || !strings.Contains(text, "Usage: gpuworker-host "+c.name) {
			t.Errorf("%s -h: exit %d\n%s", c.name, code, text)
		}
	}
}

// full is a writer to a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAWriteErrorIsAFailure(t *testing.T) {
	host := []string{"--root", fixture(t, "")}
	calls := [][]string{{"help"}, {"version"}, {"--version"}, {"version", "-o", "json"}, {"capture", "-o", "-"}, {"metrics", "-o", "-"}}
	for _, c := range commands() {
		calls = append(calls, []string{c.name, "-h"})
	}
	for _, call := range [][]string{{"list"}, {"check"}, {"explain"}, {"explain", "HOST-RMRR"}, {"bind", gpu}, {"unbind", gpu}, {"assert", "0000:03:00.0", "--bound"}} {
		calls = append(calls, call, append(call, "-o", "json"))
	}
	for _, args := range calls {
		if _, isCommand := commandNamed(args[0]); isCommand {
			args = append(args, host...)
		}
		var complaint bytes.Buffer
		if code := (&Tool{Out: full{}, Err: &complaint}).Main(args); code == fault.ExitOK || !strings.Contains(complaint.String(), "no space left") {
			t.Errorf("%v: exit %d, %q", args, code, complaint.String())
		}
	}
}

func TestTheVersionHasTheFormOfAllPrograms(t *testing.T) {
	const line = "gpuworker-host v0.0.0-test (commit 0123456789ab, go1.26, linux/amd64)\n"
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if code, out, complaint := run(t, "", args...); code != fault.ExitOK || out != line || complaint != "" {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, complaint)
		}
	}
	code, out, _ := run(t, "", "version", "-o", "json")
	var said buildinfo.Info
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != fault.ExitOK || said.Line("gpuworker-host")+"\n" != line {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, out, _ := run(t, "", "version", "now"); code != fault.ExitInvalid || out != "" {
		t.Errorf("exit %d, %q", code, out)
	}
}
