package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files that -o names. The program mostly runs as root, and the directory may be
// somebody else's, who can put there what they like at any moment. So the directory
// is opened once, in it only a new file is ever written to, and that takes its place
// by a rename, which follows no link. What stands there and is no file is left alone:
// standard output is "-".

// inDir opens the directory of a file and does something with the file there.
func inDir(name string, do func(dir *os.Root, base string) error) error {
	above, base := filepath.Split(name)
	if base == "" || base == "." || base == ".." {
		return usage("-o %s: name a file, not a directory", name)
	}
	if above == "" {
		above = "./"
	}
	// It ends with a slash: to open what is no directory fails and does not wait, as it
	// would for the other end of a FIFO.
	dir, err := os.OpenRoot(above)
	if err == nil {
		err = do(dir, base)
		_ = dir.Close()
	}
	if err != nil {
		return fmt.Errorf("-o %s: %w", name, err)
	}
	return nil
}

// replaceFile puts a file in the place of an old one, if there is one.
func replaceFile(name string, data []byte) error {
	return inDir(name, func(dir *os.Root, base string) error {
		if info, err := dir.Lstat(base); err == nil && !info.Mode().IsRegular() {
			return usage("it is %s, which is neither written to nor replaced; name a file, or - for standard output", noun(info.Mode()))
		}
		temporary := ".gpuworker-host-" + rand.Text()
		if err := newFile(dir, temporary, data, 0o644); err != nil {
			return err
		}
		if err := dir.Rename(temporary, base); err != nil {
			return errors.Join(err, dir.Remove(temporary))
		}
		return nil
	})
}

// createFile writes a file where there is nothing.
func createFile(name string, data []byte) error {
	return inDir(name, func(dir *os.Root, base string) error {
		err := newFile(dir, base, data, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return usage("it exists already; name another file")
		}
		return err
	})
}

// newFile writes a new file into a directory. Of one that could not be written to
// its end nothing stays.
func newFile(dir *os.Root, name string, data []byte, mode fs.FileMode) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return errors.Join(err, dir.Remove(name))
	}
	return nil
}

// noun says what stands at a name.
func noun(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeNamedPipe:
		return "a FIFO"
	default:
		return "a device, or a socket"
	}
}
