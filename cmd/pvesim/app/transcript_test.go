package app

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// step is a command of a transcript and its output.
type step struct{ command, printed string }

var (
	consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")
	startLine    = regexp.MustCompile(`(?m)^go run \./cmd/pvesim (.*-fault.*)$`)
)

// transcript returns the commands in a section of the page, with their output.
func transcript(t *testing.T, section string) []step {
	t.Helper()
	page, err := os.ReadFile("../../../docs/pvesim.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n"+section+"\n")
	block := consoleBlock.FindStringSubmatch(text)
	if !found || block == nil {
		t.Fatalf("docs/pvesim.md has no section %q with a transcript", section)
	}
	var steps []step
	for line := range strings.Lines(block[1]) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{command: command})
		} else {
			steps[len(steps)-1].printed += line
		}
	}
	return steps
}

// program returns a path under which this test binary runs as the program.
func program(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// background starts the program with arguments as a shell reads them, and returns its
// exports.
func background(ctx context.Context, t *testing.T, arguments string) map[string]string {
	t.Helper()
	server := exec.CommandContext(ctx, "bash", "-c", "exec "+program(t)+" "+arguments)
	server.Dir, server.Env = "../../..", append(os.Environ(), "PVESIM_AS_PROGRAM=1")
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()         // of the signal
	})
	return readExports(t, stdout, "PVE_PASSWORD_ROOT_PAM")
}

// compare runs the steps in one shell and compares the output.
func compare(ctx context.Context, t *testing.T, folder string, exports map[string]string, steps []step) {
	t.Helper()
	const mark = "=== next"
	script := ""
	for _, s := range steps {
		script += strings.ReplaceAll(s.command, "go run ./cmd/pvesim", "PVESIM_AS_PROGRAM=1 "+program(t)) + "echo '" + mark + "'\n"
	}
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir, shell.Env = folder, os.Environ()
	for name, value := range exports {
		shell.Env = append(shell.Env, name+"="+value)
	}
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the transcript ended with %v\n%s", err, out)
	}
	printed := strings.Split(string(out), mark+"\n")
	if len(printed) != len(steps)+1 {
		t.Fatalf("%d commands printed %d times\n%s", len(steps), len(printed)-1, out)
	}
	for i, s := range steps {
		if diff := cmp.Diff(s.printed, printed[i]); diff != "" {
			t.Errorf("$ %s(-docs +really):\n%s", s.command, diff)
		}
	}
}

func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT CHECKED: the transcript needs %s: %v", tool, err)
		}
	}
}

func TestTheTranscriptInTheDocsIsCorrect(t *testing.T) {
	needTools(t, "bash", "curl", "grep")
	page, err := os.ReadFile("../../../docs/pvesim.md")
	if err != nil {
		t.Fatal(err)
	}
	start := startLine.FindSubmatch(page)
	if start == nil {
		t.Fatal("docs/pvesim.md does not say how the program is started for its transcript")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The page's own command line, but for the port, which may be in use.
	exports := background(ctx, t, strings.Replace(string(start[1]), "127.0.0.1:8006", "127.0.0.1:0", 1))
	compare(ctx, t, t.TempDir(), exports, transcript(t, "### By hand, with curl"))
}

func TestTheCaptureInTheDocsIsCorrect(t *testing.T) {
	needTools(t, "bash", "grep", "stat")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	exports := background(ctx, t, "-quiet -world testdata/worlds/homelab.yaml")
	compare(ctx, t, t.TempDir(), exports, transcript(t, "## Your own cluster"))
}
