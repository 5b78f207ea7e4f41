package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/golden"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
)

// fixture is a host from the fixtures of package hostcheck: the healthy one with the
// changes of another file.
func fixture(t *testing.T, change string) string {
	t.Helper()
	dir := "../check/testdata"
	base := filepath.Join(dir, "base.txt")
	if change == "" {
		return base
	}
	text, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	over, err := os.ReadFile(filepath.Join(dir, change))
	if err != nil {
		t.Fatal(err)
	}
	head, parts, _ := strings.Cut(string(over), "\n-- ")
	if strings.Contains(head, "\nremove: ") {
		t.Fatalf("%s takes something out", change)
	}
	file := filepath.Join(t.TempDir(), change)
	if err := os.WriteFile(file, append(text, "-- "+parts...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCheckOfAHealthyHost(t *testing.T) {
	code, out, complaint := run(t, "", "check", "--root", fixture(t, ""))
	if code != fault.ExitOK || complaint != "" {
		t.Errorf("exit %d: %s", code, complaint)
	}
	golden.Compare(t, "testdata/check-healthy.golden", out)
	code, out, _ = run(t, "", "check", "--root", fixture(t, ""), "01:00.0", "--verbose")
	if code != fault.ExitOK {
		t.Errorf("exit %d", code)
	}
	golden.Compare(t, "testdata/check-verbose.golden", out)
}

func TestCheckNamesTheLayerThatFails(t *testing.T) {
	code, out, complaint := run(t, "", "check", "--root", fixture(t, "08-nouveau-has-the-card.txt"))
	if code != fault.ExitCheck || complaint != "" {
		t.Errorf("exit %d: %s", code, complaint)
	}
	golden.Compare(t, "testdata/check-nouveau.golden", out)
}

func TestCheckOfWhatARebootWouldChange(t *testing.T) {
	code, out, _ := run(t, "", "check", "--root", fixture(t, "08b-bound-by-hand.txt"))
	if code != fault.ExitOK {
		t.Errorf("what is well now is exit %d", code)
	}
	golden.Compare(t, "testdata/check-by-hand.golden", out)
}

func TestCheckOnATerminal(t *testing.T) {
	const width = 80
	var out bytes.Buffer
	tool := &Tool{Out: &out, Err: &out, Colour: true, Width: width}
	tool.Main([]string{"check", "--root", fixture(t, "14-framebuffer-in-the-window.txt")})
	plain := out.String()
	for _, code := range []string{"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"} {
		plain = strings.ReplaceAll(plain, code, "")
	}
	if plain == out.String() {
		t.Error("a terminal shows no colour")
	}
	for _, line := range strings.Split(plain, "\n") {
		if n := utf8.RuneCountInString(line); n > width && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, "·") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	golden.Compare(t, "testdata/check-at-80-columns.golden", out.String())
}

func TestCheckForMachines(t *testing.T) {
	code, out, _ := run(t, "", "check", "-o", "json", "--root", fixture(t, "08-nouveau-has-the-card.txt"))
	var report hostcheck.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != fault.ExitCheck {
		t.Fatalf("exit %d, %v", code, err)
	}
	if report.Version != hostcheck.FormatVersion || report.Tool != "v0.0.0-test" || report.Host != "pve1" || len(report.Cards) != 2 || report.Cards[0].Now != finding.Fail {
		t.Errorf("%s", out)
	}
	golden.Compare(t, "testdata/check.json.golden", out)
}

func TestCheckWantsAddresses(t *testing.T) {
	code, _, complaint := run(t, "", "check", "01:00", "--root", fixture(t, ""))
	if code != fault.ExitInvalid || !strings.Contains(complaint, `write "0000:01:00.0"`) {
		t.Errorf("exit %d: %s", code, complaint)
	}
}

func TestExplain(t *testing.T) {
	code, out, _ := run(t, "", "explain", "host-group-foreign-device")
	if code != fault.ExitOK {
		t.Errorf("exit %d", code)
	}
	golden.Compare(t, "testdata/explain.golden", out)
	_, out, _ = run(t, "", "explain")
	for _, page := range finding.OfHost() {
		if !strings.Contains(out, string(page.ID)) {
			t.Errorf("the list lacks %s", page.ID)
		}
	}
	code, _, complaint := run(t, "", "explain", "HOST-IOMMU-OFF-KERNAL")
	if code != fault.ExitInvalid || !strings.Contains(complaint, "HOST-IOMMU-OFF-KERNEL") {
		t.Errorf("exit %d: %s", code, complaint)
	}
}

func TestAFileThatIsNotACaptureIsRefused(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "notes": "The host pve1 has a T4.\n"} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, complaint := run(t, "", "check", "--root", file)
		if code != fault.ExitInvalid || out != "" || !strings.Contains(complaint, "is not a captured archive") {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, complaint)
		}
	}
}

func TestAnEndlessArchiveIsRefused(t *testing.T) {
	code, out, complaint := run(t, "", "check", "--root", "/dev/zero")
	if code != fault.ExitInvalid || out != "" || !strings.Contains(complaint, "longer than 32 MiB") {
		t.Errorf("exit %d, %q, %q", code, out, complaint)
	}
}

// For root in a container, "run it as root" would be useless advice.
func TestRootInAContainerIsToldWhatIsMissing(t *testing.T) {
	data, err := os.ReadFile(fixture(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	const container = "-- proc/33/fd (denied) --\n-- proc/self/status --\nUid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n"
	file := filepath.Join(t.TempDir(), "container.txt")
	if err := os.WriteFile(file, append(data, container...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"check"}, {"check", "-o", "json"}, {"bind", "0000:01:00.0"}} {
		_, out, complaint := run(t, "", append(args, "--root", file)...)
		if strings.Contains(out+complaint, "run it as root") || args[0] != "bind" && !strings.Contains(out, "CAP_SYS_PTRACE") {
			t.Errorf("%v:\n%s%s", args, out, complaint)
		}
	}
}
