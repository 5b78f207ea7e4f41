package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/guest/check"
)

// fixture is a captured guest of package check: the sound one with a change.
func fixture(t *testing.T, change string) string {
	t.Helper()
	base, err := os.ReadFile("../check/testdata/base.txt")
	if err != nil {
		t.Fatal(err)
	}
	if change == "" {
		return "../check/testdata/base.txt"
	}
	over, err := os.ReadFile("../check/testdata/" + change + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	head, parts, _ := strings.Cut(string(over), "\n-- ")
	if strings.Contains(head, "\nremove: ") {
		t.Fatalf("%s takes something out", change)
	}
	file := filepath.Join(t.TempDir(), change+".txt")
	if err := os.WriteFile(file, append(base, "-- "+parts...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// runTool runs the program with an empty directory as its guest.
func runTool(t *testing.T, args ...string) (code int, out, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	tool := &Tool{Out: &stdout, Err: &stderr, Version: buildinfo.Info{Version: "v0.3.0"}, Width: 120, Root: t.TempDir(), Dirs: []string{}}
	code = tool.Main(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

func TestCheckOfASoundGuest(t *testing.T) {
	code, out, complaint := runTool(t, "check", "--root", fixture(t, ""))
	if code != fault.ExitOK || complaint != "" {
		t.Errorf("exit %d: %s", code, complaint)
	}
	golden.Compare(t, "testdata/check-sound.golden", out)
}

func TestCheckSaysWhatToDo(t *testing.T) {
	for _, change := range []string{"15-library-mismatch", "20-another-gpu", "17-nvlink", "01-copy-of-a-worker"} {
		code, out, complaint := runTool(t, "check", "--root", fixture(t, change))
		if code != fault.ExitCheck || complaint != "" {
			t.Errorf("%s: exit %d: %s", change, code, complaint)
		}
		golden.Compare(t, "testdata/check-"+change+".golden", out)
	}
}

func TestCheckAsJSONIsTheReport(t *testing.T) {
	code, out, _ := runTool(t, "check", "-o", "json", "--root", fixture(t, "20-another-gpu"))
	var report check.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != fault.ExitCheck || report.Verdict != finding.Fail || report.Ready {
		t.Errorf("exit %d, %v, %+v", code, err, report)
	}
}

func TestTheGateIsSilentWhenOpenAndTellsWhyWhenNot(t *testing.T) {
	if code, out, complaint := runTool(t, "gate", "--root", fixture(t, "")); code != fault.ExitOK || out+complaint != "" {
		t.Errorf("exit %d: %s%s", code, out, complaint)
	}
	code, out, _ := runTool(t, "gate", "--root", fixture(t, "20-another-gpu"))
	if code != fault.ExitCheck || !strings.Contains(out, "DRIVER-GPU-UUID") || strings.Contains(out, "passed") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out, _ = runTool(t, "gate", "-o", "json", "--root", fixture(t, "20-another-gpu"))
	if code != fault.ExitCheck || !json.Valid([]byte(out)) {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestTheGateWaitsUntilItsTimeIsOver(t *testing.T) {
	file := fixture(t, "20-another-gpu")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if code, _, _ := runTool(t, "gate", "--wait", "5m", "--root", file); code != fault.ExitCheck || time.Since(began) != 5*time.Minute {
			t.Errorf("exit %d after %s", code, time.Since(began))
		}
	})
}

func TestTheStatusOfACapturedGuest(t *testing.T) {
	code, out, complaint := runTool(t, "status", "--root", fixture(t, ""))
	if code != fault.ExitOK || !strings.Contains(out, "card") || complaint != "" {
		t.Errorf("exit %d: %s%s", code, out, complaint)
	}
	code, _, complaint = runTool(t, "status")
	if code != fault.ExitInvalid || !strings.Contains(complaint, "run: gpuworker-guest bootstrap") {
		t.Errorf("without a status: exit %d: %s", code, complaint)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"bootstrap":              {fault.ExitInvalid, "run gpuworker apply on the desk"},
		"bootstrap now":          {fault.ExitInvalid, "bootstrap takes no arguments"},
		"bootstrap --root x":     {fault.ExitInvalid, "flag provided but not defined"},
		"boot":                   {fault.ExitInvalid, "there is no command"},
		"check --root /none":     {fault.ExitInvalid, "no such file"},
		"check -o yaml":          {fault.ExitInvalid, "-o is json or table"},
		"explain DRIVER-NOUVEAX": {fault.ExitInvalid, "similar names: DRIVER-NOUVEAU"},
		"seal --worker gpu-1":    {fault.ExitInvalid, "this VM is no worker"},
	} {
		code, out, complaint := runTool(t, strings.Fields(args)...)
		if code != want.code || !strings.Contains(complaint, want.text) || out != "" {
			t.Errorf("%s: exit %d: %q, %q", args, code, out, complaint)
		}
	}
	_, _, complaint := runTool(t, "bootstrap", "-o", "json")
	var view map[string]fault.View
	if err := json.Unmarshal([]byte(complaint), &view); err != nil || view["error"].Fix == "" {
		t.Errorf("%v: %s", err, complaint)
	}
}

func TestHelp(t *testing.T) {
	_, out, _ := runTool(t, "help")
	text := out
	for _, c := range commands() {
		code, out, complaint := runTool(t, c.name, "-h")
		if code != fault.ExitOK || complaint != "" {
			t.Errorf("%s -h: exit %d: %s", c.name, code, complaint)
		}
		text += "\n" + out
	}
	golden.Compare(t, "testdata/help.golden", text)
}

func TestEachFindingIsExplained(t *testing.T) {
	_, list, _ := runTool(t, "explain")
	for _, page := range finding.OfGuest() {
		if code, out, _ := runTool(t, "explain", string(page.ID)); code != fault.ExitOK || !strings.Contains(out, "Fix") && !strings.Contains(out, "do") || !strings.Contains(list, string(page.ID)) {
			t.Errorf("%s: exit %d: %s", page.ID, code, out)
		}
	}
}

// guestsOfTheDocs are the captured guests that docs/guest.md shows.
var guestsOfTheDocs = map[string]string{"sound": "", "updated in the background": "15-library-mismatch"}

var blockForm = regexp.MustCompile("(?s)<!-- guest: ([a-z ]+) -->\n```console\n# gpuworker-guest ([^\n]*)\n(.*?)```\n")

// TestTheDocsShowWhatTheProgramPrints runs the commands of docs/guest.md and compares;
// -update rewrites the page.
func TestTheDocsShowWhatTheProgramPrints(t *testing.T) {
	page := filepath.Join("..", "..", "..", "docs", "guest.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	made := blockForm.ReplaceAllStringFunc(string(text), func(block string) string {
		blocks++
		m := blockForm.FindStringSubmatch(block)
		change, known := guestsOfTheDocs[m[1]]
		if !known {
			t.Fatalf("no captured guest is called %q", m[1])
		}
		_, out, complaint := runTool(t, append(strings.Fields(m[2]), "--root", fixture(t, change))...)
		return strings.Replace(block, m[3]+"```\n", strings.TrimRight(out+complaint, "\n")+"\n```\n", 1)
	})
	if blocks < 3 {
		t.Errorf("only %d blocks were found", blocks)
	}
	if *golden.Update {
		if err := os.WriteFile(page, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), made); diff != "" {
		t.Errorf("%s (-page +program), -update writes it anew:\n%s", page, diff)
	}
}
