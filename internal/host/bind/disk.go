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

// Close lets go of the files.
func (d *Disk) Close() error { return errors.Join(d.Dir.Close(), d.root.Close()) }

// WriteFile implements Files: a new file beside the old one, on the disk, takes
// its name, and that is on the disk too before it returns.
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
	if err := d.clear(name); err != nil { // of a run that was killed
		return err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	// Whatever the umask says, scripts of the boot must be executable.
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// syncParents puts the names on the disk: that of the file and, as they may be
// new, those of the directories above it.
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

// errBusy is the lock in another process' hands.
var errBusy = errors.New("another gpuworker-host is binding or unbinding a card on this host; wait until it is done")

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
