package tree

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// Dir is a tree on disk, such as that of this machine, "/".
type Dir struct{ root *os.Root }

// Open opens a tree on disk. Links out of the tree are never followed.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root}, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

// ReadFile implements Reader. Devices, pipes and sockets are refused with errNoFile,
// because reading them may never end.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || info.Mode()&^fs.ModeDir&fs.ModeType != 0 {
		return nil, &fs.PathError{Op: "read", Path: name, Err: cmp.Or(err, errNoFile)}
	}
	return io.ReadAll(io.LimitReader(f, MaxFile))
}

// ReadDir implements Reader.
func (d *Dir) ReadDir(name string) ([]string, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(maxNames)
	if errors.Is(err, io.EOF) { // it is empty
		err = nil
	}
	if len(names) == maxNames {
		err = &fs.PathError{Op: "readdirent", Path: name, Err: errors.New("it has too many entries")}
	}
	slices.Sort(names)
	return names, err
}

// Readlink implements Reader.
func (d *Dir) Readlink(name string) (string, error) { return d.root.Readlink(name) }

func (d *Dir) open(name string) (*os.File, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	// A path that leads out of the root is not part of the tree.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && escapes(err) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f, err
}

// escapes reports whether the error is that of os.Root for a path out of it. The os
// package exports no value for this error.
func escapes(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Err != nil && p.Err.Error() == "path escapes from parent"
}
