package main

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

// step is a command of a transcript with what it printed.
type step struct{ command, printed string }

var (
	consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")
	startLine    = regexp.MustCompile(`(?m)^go run \./cmd/pvesim (.*-fault.*)$`)
)

// transcript reads the page: how the program is started, and what is typed.
func transcript(t *testing.T) (arguments string, steps []step) {
	t.Helper()
	page, err := os.ReadFile("../../docs/pvesim.md")
	if err != nil {
		t.Fatal(err)
	}
	start, block := startLine.FindSubmatch(page), consoleBlock.FindSubmatch(page)
	if start == nil || block == nil {
		t.Fatal("docs/pvesim.md has no transcript, or not how the program is started for it")
	}
	for line := range strings.Lines(string(block[1])) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{command: command})
		} else {
			steps[len(steps)-1].printed += line
		}
	}
	return string(start[1]), steps
}

func TestTheTranscriptInTheDocsIsTrue(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT JUDGED: the transcript needs %s: %v", tool, err)
		}
	}
	arguments, steps := transcript(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	// The page's own command line, but for the port, which may be in use.
	server := exec.CommandContext(ctx, "bash", "-c", "exec "+program+" "+strings.Replace(arguments, "127.0.0.1:8006", "127.0.0.1:0", 1))
	server.Dir, server.Env = "../..", append(os.Environ(), "PVESIM_AS_PROGRAM=1")
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()         // of the signal
	}()
	exports := readExports(t, stdout, "PVE_PASSWORD_ROOT_PAM")

	const mark = "=== next"
	script := ""
	for _, s := range steps {
		script += s.command + "echo '" + mark + "'\n"
	}
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Env = os.Environ()
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
