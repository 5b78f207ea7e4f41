package look

import (
	"errors"
	"io/fs"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Text is a file of the guest, or the error of reading it.
type Text struct {
	Name string // relative to the root
	Body string
	Err  error // nil when it was read
}

func read(tree hosttree.Reader, name string) Text {
	data, err := tree.ReadFile(name)
	switch {
	case err != nil:
		return Text{Name: name, Err: err}
	case len(data) >= hosttree.MaxFile:
		return Text{Name: name, Err: errors.New("it is too large")}
	}
	return Text{Name: name, Body: strings.ToValidUTF8(string(data), "\uFFFD")}
}

// OK reports whether the file was read.
func (t Text) OK() bool { return t.Err == nil }

// Absent reports whether the file certainly does not exist.
func (t Text) Absent() bool { return errors.Is(t.Err, fs.ErrNotExist) }

// Hidden reports whether the file may exist but could not be read.
func (t Text) Hidden() bool { return t.Err != nil && !t.Absent() }

// Value is the content of a file of one line.
func (t Text) Value() string { return strings.TrimSpace(t.Body) }

// exists reports whether a file or directory exists. It needs only the right to list the
// directory above it, so it also works for device files.
func exists(tree hosttree.Reader, dir, name string) (there bool, err error) {
	names, err := tree.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	for _, n := range names {
		if n == name {
			return true, nil
		}
	}
	return false, nil
}
