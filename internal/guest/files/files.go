// Package files changes files of a guest, below a root that it never leaves. Each change
// happens at once: after a crash a file has its old or its new content.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// Writer changes files. Names are relative to the root.
type Writer interface {
	// Write replaces a file, and creates the directories above it.
	Write(name string, data []byte, mode fs.FileMode) error
	// Append adds to the end of a file, which it creates if necessary.
	Append(name string, data []byte, mode fs.FileMode) error
	// Remove removes a file. A missing one is no error.
	Remove(name string) error
}

// Local changes files on this machine.
type Local struct{ root *os.Root }

// Open opens the root of the files.
func Open(dir string) (*Local, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Local{root}, nil
}

// Close closes the root.
func (l *Local) Close() error { return l.root.Close() }

// temporary is the name of the file that is written first. It is always the same, so that
// a killed run leaves at most one, which the next run removes.
func temporary(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+".gpuworker-guest")
}

// Write implements Writer.
func (l *Local) Write(name string, data []byte, mode fs.FileMode) error {
	if err := l.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write /%s: %w", name, err)
	}
	if err := l.write(name, data, mode); err != nil {
		return fmt.Errorf("write /%s: %w", name, err)
	}
	return nil
}

func (l *Local) write(name string, data []byte, mode fs.FileMode) error {
	first := temporary(name)
	if err := l.Remove(first); err != nil {
		return err
	}
	f, err := l.root.OpenFile(first, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	// The content must be on the disk before the name is: else a power cut leaves an empty file.
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, l.Remove(first))
	}
	if err := l.root.Rename(first, name); err != nil {
		return errors.Join(err, l.Remove(first))
	}
	return l.sync(path.Dir(name))
}

// sync writes a directory to the disk.
func (l *Local) sync(dir string) error {
	d, err := l.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Append implements Writer.
func (l *Local) Append(name string, data []byte, mode fs.FileMode) error {
	if err := l.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("append to /%s: %w", name, err)
	}
	f, err := l.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, mode)
	if err != nil {
		return fmt.Errorf("append to /%s: %w", name, err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Remove implements Writer.
func (l *Local) Remove(name string) error {
	if err := l.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove /%s: %w", name, err)
	}
	return nil
}

// LockFile is locked while bootstrap, seal or reset runs.
const LockFile = "var/lib/gpuworker/lock"

// Lock makes sure that only one run changes the guest. The kernel releases the lock when
// the process ends, however it ends.
func (l *Local) Lock() (unlock func(), err error) {
	if err := l.root.MkdirAll(path.Dir(LockFile), 0o755); err != nil {
		return nil, err
	}
	f, err := l.root.OpenFile(LockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		holder := make([]byte, 16)
		n, _ := f.Read(holder) // only for the message
		_ = f.Close()
		return nil, &fault.Error{
			Kind: fault.Busy, Doing: "lock /" + LockFile, Why: "another run of gpuworker-guest is at work" + process(string(holder[:n])),
			Fix: "wait until it ends: journalctl -f -u gpuworker-guest",
		}
	case err != nil:
		return nil, errors.Join(err, f.Close())
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	return func() { _ = f.Close() }, nil
}

// process names the process that holds the lock, if it is known.
func process(pid string) string {
	pid = strings.TrimSpace(pid)
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return ""
	}
	return ": process " + pid
}
