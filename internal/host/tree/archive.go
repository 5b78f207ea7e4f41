package tree

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// Archive is a tree in memory: a captured one, or one made for a test. It may be
// read and changed by several goroutines.
type Archive struct {
	mu      sync.RWMutex
	entries map[string]entry
}

// entry is one file, directory or link.
type entry struct {
	kind   kind
	data   []byte // of a file
	target string // of a link
}

type kind int

const (
	file kind = iota
	directory
	link
	denied // exists, but may not be read
)

// NewArchive is an empty tree.
func NewArchive() *Archive { return &Archive{entries: map[string]entry{".": {kind: directory}}} }

// WriteFile adds a file and the directories above it.
func (a *Archive) WriteFile(name string, data []byte) { a.put(name, entry{kind: file, data: data}) }

// Mkdir adds a directory and those above it.
func (a *Archive) Mkdir(name string) { a.put(name, entry{kind: directory}) }

// Symlink adds a link.
func (a *Archive) Symlink(name, target string) { a.put(name, entry{kind: link, target: target}) }

// Deny adds a file that may not be read.
func (a *Archive) Deny(name string) { a.put(name, entry{kind: denied}) }

// Remove removes an entry and everything below it.
func (a *Archive) Remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name = path.Clean(name)
	for other := range a.entries {
		if other == name || strings.HasPrefix(other, name+"/") {
			delete(a.entries, other)
		}
	}
}

// put adds an entry. Links in the directories above it are followed, so that
// sys/bus/pci/devices/X/driver becomes an entry of the device's own directory.
func (a *Archive) put(name string, e entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name = path.Clean(strings.TrimPrefix(name, "/"))
	name = a.place(name)
	if old, there := a.entries[name]; there && old.kind == directory && e.kind == directory {
		return
	}
	a.entries[name] = e
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if _, there := a.entries[dir]; there {
			break
		}
		a.entries[dir] = entry{kind: directory}
	}
}

// place returns a name with the links in the directories above it resolved.
func (a *Archive) place(name string) string {
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if real, err := a.resolve(dir); err == nil {
			return path.Join(real, strings.TrimPrefix(name, dir+"/"))
		}
	}
	return name
}

// ReadFile implements Reader.
func (a *Archive) ReadFile(name string) ([]byte, error) {
	e, err := a.find("open", name)
	if err != nil {
		return nil, err
	}
	switch e.kind {
	case denied:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case directory:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	case file, link:
	}
	return slices.Clone(e.data[:min(len(e.data), MaxFile)]), nil
}

// ReadDir implements Reader.
func (a *Archive) ReadDir(name string) ([]string, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	dir, err := a.resolve(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	switch a.entries[dir].kind {
	case denied:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case file, link:
		return nil, &fs.PathError{Op: "readdirent", Path: name, Err: fs.ErrInvalid}
	case directory:
	}
	var names []string
	above := dir + "/"
	if dir == "." {
		above = ""
	}
	for other := range a.entries {
		if name, below := strings.CutPrefix(other, above); below && other != "." && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Readlink implements Reader.
func (a *Archive) Readlink(name string) (string, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	name = path.Clean(name)
	dir, err := a.resolve(path.Dir(name))
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	e, there := a.entries[path.Join(dir, path.Base(name))]
	switch {
	case !there:
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	case e.kind != link:
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return e.target, nil
}

// Resolve returns the name of a path with all links resolved.
func (a *Archive) Resolve(name string) (string, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.resolve(name)
}

func (a *Archive) find(op, name string) (entry, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	real, err := a.resolve(name)
	if err != nil {
		return entry{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return a.entries[real], nil
}

// maxLinks is the maximum length of a chain of links; a longer one counts as a loop,
// as in the kernel (path_resolution(7)).
const maxLinks = 40

// resolve follows links. The target of a link out of the tree does not exist.
func (a *Archive) resolve(name string) (string, error) {
	rest := strings.Split(path.Clean(name), "/")
	at := "."
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case ".", "":
			continue
		case "..":
			if at == "." {
				return "", fs.ErrNotExist
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		e, there := a.entries[next]
		switch {
		case !there, len(rest) > 0 && e.kind == file:
			return "", fs.ErrNotExist
		case e.kind != link:
			at = next
			continue
		}
		if links++; links > maxLinks || path.IsAbs(e.target) {
			return "", fs.ErrNotExist
		}
		rest = append(strings.Split(e.target, "/"), rest...)
	}
	return at, nil
}
