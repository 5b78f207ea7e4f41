package hostbind

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's own program be the child that writes.
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
		t.Error("it wrote out of its root")
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

func TestAChildThatDiesIsNoYes(t *testing.T) {
	if err := (Child{Program: "/bin/false", Root: "/"}).Write(t.Context(), "x", nil); err == nil || !strings.Contains(err.Error(), "gave no answer") {
		t.Errorf("got %v", err)
	}
}

func TestACommandIsShownAndItsErrorTold(t *testing.T) {
	var shown bytes.Buffer
	output, err := Commands{}.Run(t.Context(), &shown, "sh", "-c", "echo made it; exit 3")
	if err == nil || output != "made it\n" || shown.String() != output {
		t.Errorf("got %q, shown %q, %v", output, shown.String(), err)
	}
	if _, err := (Commands{}).Run(t.Context(), nil, "no-such-program"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
