package bind

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestMain lets the test program also run as the child that writes.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == WriteVerb {
		if err := WriteAttribute(os.Stdout, os.Args[2], os.Args[3], os.Args[4]); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAChildWritesAndSaysHowItWent(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	child := Child{Program: program, Root: dir}
	write(t, filepath.Join(dir, "sys/attribute"), "")
	if err := child.Write(t.Context(), "sys/attribute", []byte("vfio-pci\n")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "sys/attribute")); err != nil || string(data) != "vfio-pci\n" {
		t.Errorf("there is %q, %v", data, err)
	}
	if err := child.Write(t.Context(), "sys/nothing", []byte("x")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sys/nothing")); err == nil {
		t.Error("it was made")
	}
	if err := os.Symlink("/dev/full", filepath.Join(dir, "sys/full")); err != nil {
		t.Fatal(err)
	}
	if err := child.Write(t.Context(), "sys/full", []byte("x")); err == nil {
		t.Error("it wrote outside its root")
	}
	if err := (Child{Program: program, Root: "/dev"}).Write(t.Context(), "full", []byte("x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the kernel's error: %v", err)
	}
}

func TestAChildThatNeverReturnsIsLeft(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil { // nobody reads: opening it waits
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (Child{Program: program, Root: dir}).Write(ctx, "pipe", []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestAChildThatDiesIsAnError(t *testing.T) {
	if err := (Child{Program: "/bin/false", Root: "/"}).Write(t.Context(), "x", nil); err == nil || !strings.Contains(err.Error(), "gave no answer") {
		t.Errorf("got %v", err)
	}
}

func TestACommandIsShownAndItsErrorReturned(t *testing.T) {
	var shown bytes.Buffer
	output, err := Commands{}.Run(t.Context(), &shown, "sh", "-c", "echo made it; exit 3")
	if err == nil || output != "made it\n" || shown.String() != output {
		t.Errorf("got %q, shown %q, %v", output, shown.String(), err)
	}
	if _, err := (Commands{}).Run(t.Context(), nil, "no-such-program"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// script returns a shell script whose file descriptor 9 is a pipe to the test. The
// script writes the pids of its processes to it. The pipe is at its end when all
// of them have ended: gone fails the test if they have not. The rest is killed at
// the end of the test.
func script(t *testing.T, text string) (argv []string, gone func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	pids := bufio.NewScanner(pipe)
	t.Cleanup(func() {
		for pipe.SetReadDeadline(time.Now().Add(time.Second)) == nil && pids.Scan() {
			if pid, err := strconv.Atoi(pids.Text()); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		pipe.Close()
	})
	gone = func() {
		t.Helper()
		_ = pipe.SetReadDeadline(time.Now().Add(10 * time.Second))
		if rest, err := io.ReadAll(pipe); err != nil {
			t.Errorf("processes that it started go on: %s, %v", rest, err)
		}
	}
	return []string{"sh", "-c", "exec 9>'" + file + "'; " + text}, gone
}

func TestAskEndsAtTheDeadline(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		output string
		hangs  bool
	}{
		"it ignores SIGTERM":                              {script: `trap "" TERM HUP INT; echo $$ >&9; while :; do read x </dev/zero; done`, hangs: true},
		"what it started goes on":                         {script: `sleep 600 & echo $! >&9; wait`, hangs: true},
		"what it started goes on in a session of its own": {script: `setsid sleep 600 & echo $! >&9; wait`, hangs: true},
		"it answers, and leaves a daemon with its output": {script: `sleep 600 & echo $! >&9; echo Disabled`, output: "Disabled\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			argv, gone := script(t, test.script)
			deadline := 20 * time.Second
			if test.hangs {
				deadline = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			began := time.Now()
			output, err := Commands{}.Ask(ctx, argv...)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
			var hung *hungError
			if test.hangs != errors.As(err, &hung) || !test.hangs && (err != nil || output != test.output) {
				t.Errorf("got %q, %v", output, err)
			}
			if test.hangs && (!strings.Contains(err.Error(), "and was killed") || !errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("it says %v", err)
			}
			if test.hangs && !strings.Contains(test.script, "setsid") {
				gone()
			}
		})
	}
}

func TestAProcessThatCannotBeKilledIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), askDeadline)
		defer cancel()
		killed := false
		began := time.Now()
		left, err := await(ctx, make(chan error), func() { killed = true }) // it waits in the kernel
		if !left || err != nil || !killed || time.Since(began) > askDeadline+5*time.Second {
			t.Errorf("left %v, killed %v, after %v: %v", left, killed, time.Since(began), err)
		}
	})
}
