package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Writing the file of -o. The program usually runs as root, and the directory may
// belong to another user, who can create links in it at any moment. So the directory
// is opened once, only a new file is written in it, and a rename, which follows no
// link, moves it to its name. A link, device or FIFO with that name is not touched.

// inDir opens the directory of a file and does something with the file there.
func inDir(name string, do func(dir *os.Root, base string) error) error {
	above, base := filepath.Split(name)
	if base == "" || base == "." || base == ".." {
		return usage("-o %s: name a file, not a directory", name)
	}
	if above == "" {
		above = "./"
	}
	// With the slash at its end, opening something else than a directory fails. Without
	// it, opening a FIFO would wait.
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

// replaceFile writes a file and replaces an existing one.
func replaceFile(name string, data []byte) error {
	return inDir(name, func(dir *os.Root, base string) error {
		if info, err := dir.Lstat(base); err == nil && !info.Mode().IsRegular() {
			return usage("it is %s, and only a regular file can be replaced; name a file, or - for standard output", noun(info.Mode()))
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

// createFile writes a file that must not exist yet.
func createFile(name string, data []byte) error {
	return inDir(name, func(dir *os.Root, base string) error {
		err := newFile(dir, base, data, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return usage("it already exists; name another file")
		}
		return err
	})
}

// newFile writes a new file into a directory, and removes it again after an error.
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

// noun names the kind of a file.
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
