package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

func opened(t *testing.T) (*Local, string) {
	t.Helper()
	root := t.TempDir()
	l, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, root
}

func TestAWriteReplacesTheFileAndItsMode(t *testing.T) {
	l, root := opened(t)
	if err := l.Write("etc/a/b", []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A killed run left its temporary file.
	if err := os.WriteFile(filepath.Join(root, temporary("etc/a/b")), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("etc/a/b", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "etc/a/b"))
	info, statErr := os.Stat(filepath.Join(root, "etc/a/b"))
	if err != nil || statErr != nil || string(data) != "new" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v, %v", data, info.Mode(), err, statErr)
	}
	if names, err := os.ReadDir(filepath.Join(root, "etc/a")); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestNothingOutsideTheRootIsWritten(t *testing.T) {
	l, root := opened(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "etc")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{l.Write("etc/x", nil, 0o600), l.Append("etc/x", nil, 0o600), l.Write("../x", nil, 0o600)} {
		if err == nil {
			t.Error("it was written")
		}
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestAMissingFileIsRemovedWithoutAnError(t *testing.T) {
	l, _ := opened(t)
	if err := l.Remove("etc/none"); err != nil {
		t.Error(err)
	}
}

func TestOnlyOneRunHasTheLock(t *testing.T) {
	l, root := opened(t)
	unlock, err := l.Lock()
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Lock(); !fault.Is(err, fault.Busy) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("%v", err)
	}
	unlock()
	again, err := other.Lock()
	if err != nil {
		t.Fatal(err)
	}
	again()
}
