package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asProgram is the environment variable that makes this test binary run as the
// program itself.
const asProgram = "TEST_AS_GPUWORKER_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program returns a command that runs gpuworker-host, not yet started.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

func TestAFullDiskIsNoSuccess(t *testing.T) {
	const host = " --root ../../internal/host/cli/testdata/workstation.txt"
	for _, args := range []string{"version", "list -h", "explain", "explain -o json", "list" + host, "list -o json" + host, "check" + host} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var complaint strings.Builder
		cmd := program(t, strings.Fields(args)...)
		cmd.Stdout, cmd.Stderr = full, &complaint
		err = cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(complaint.String(), "no space left on device") {
			t.Errorf("%s: %v, %q", args, err, complaint.String())
		}
		if err := full.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A program that waits for data from a FIFO can be interrupted.
func TestASignalEndsAProgramThatReadsAFIFO(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		pipe := filepath.Join(t.TempDir(), "host.txt")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := program(t, "check", "--root", pipe)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the program reads
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait() // does not return if the program continues to read
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != signal {
			t.Errorf("%v: %v", signal, err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
