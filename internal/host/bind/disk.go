package bind

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Disk are the files of a host on its disk. It implements Files.
type Disk struct {
	*hosttree.Dir
	root *os.Root
}

// OpenDisk opens the files below a directory, "/" for this machine's.
func OpenDisk(dir string) (*Disk, error) {
	tree, err := hosttree.Open(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	return &Disk{tree, root}, nil
}

// Close closes the directory.
func (d *Disk) Close() error { return errors.Join(d.Dir.Close(), d.root.Close()) }

// WriteFile implements Files: it writes a temporary file beside the old one, syncs
// it, renames it, and syncs the directory.
func (d *Disk) WriteFile(name string, data []byte, mode fs.FileMode) error {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temporary := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	if err := d.fill(temporary, data, mode); err != nil {
		return errors.Join(err, d.clear(temporary))
	}
	if err := d.root.Rename(temporary, name); err != nil {
		return errors.Join(err, d.clear(temporary))
	}
	return d.syncParents(path.Dir(name))
}

func (d *Disk) clear(temporary string) error {
	if err := d.root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *Disk) fill(name string, data []byte, mode fs.FileMode) error {
	if err := d.clear(name); err != nil { // left by a run that was killed
		return err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	// Chmod, because the umask must not make the boot scripts unexecutable.
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// syncParents syncs the directory of a file and those above it, which may be new.
func (d *Disk) syncParents(dir string) error {
	for ; ; dir = path.Dir(dir) {
		f, err := d.root.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

// Remove implements Files.
func (d *Disk) Remove(name string) error {
	if err := d.root.Remove(name); err != nil {
		return err
	}
	return d.syncParents(path.Dir(name))
}

// errBusy says that another process holds the lock.
var errBusy = errors.New("another gpuworker-host is binding or unbinding a card on this host; retry when it has finished")

// Lock implements Files.
func (d *Disk) Lock(name string) (unlock func(), err error) {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("lock /%s: %w", name, err)
	}
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock /%s: %w", name, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock /%s: %w", name, err)
	}
	return func() { _ = f.Close() }, nil
}
