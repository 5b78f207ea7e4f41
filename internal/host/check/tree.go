package check

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// text is a file of the host, or the error of reading it.
type text struct {
	name string
	body string
	err  error // nil when it was read
}

func read(tree hosttree.Reader, name string) text {
	data, err := tree.ReadFile(name)
	switch {
	case err != nil:
		return text{name: name, err: err}
	case len(data) >= hosttree.MaxFile:
		return text{name: name, err: errors.New("is too large")}
	}
	return text{name: name, body: strings.ToValidUTF8(string(data), "\uFFFD")}
}

// absent reports whether the file certainly does not exist.
func (t text) absent() bool { return errors.Is(t.err, fs.ErrNotExist) }

// hidden reports whether the file may exist but could not be read.
func (t text) hidden() bool { return t.err != nil && !t.absent() }

// ok reports whether the file was read.
func (t text) ok() bool { return t.err == nil }

// value is the content of a file of one line.
func (t text) value() string { return strings.TrimSpace(t.body) }

// evidence is the content of the file, or why it could not be read.
func (t text) evidence() Evidence {
	if t.err != nil {
		return Evidence{File: "/" + t.name, Says: why(t.err)}
	}
	return Evidence{File: "/" + t.name, Says: cmp.Or(trim(t.body), "is empty")}
}

// line is the evidence of one line of the file.
func (t text) line(line string) Evidence {
	if !t.ok() {
		return t.evidence()
	}
	return Evidence{File: "/" + t.name, Says: cmp.Or(trim(line), "says nothing about it")}
}

// maxEvidence limits the shown part of a file, in characters.
const maxEvidence = 200

// trim makes content safe for one line of a terminal: no control characters, and
// at most maxEvidence characters.
func trim(content string) string {
	return cut(strings.Join(strings.Fields(plain(content)), " "), maxEvidence)
}

// plain replaces characters that are not printable by spaces, and limits the length
// to that of a finding.
func plain(text string) string {
	return cut(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "\uFFFD")), 5*maxEvidence)
}

// cut shortens a text to at most this number of characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// why says an error in plain words and without the path.
func why(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read by this user"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return "could not be read: " + trim(err.Error())
}

// list is the content of a directory, or the error of reading it.
type list struct {
	name  string
	names []string
	err   error
}

func readDir(tree hosttree.Reader, name string) list {
	names, err := tree.ReadDir(name)
	return list{name, names, err}
}

func (l list) hidden() bool { return l.err != nil && !errors.Is(l.err, fs.ErrNotExist) }

func (l list) evidence() Evidence {
	switch {
	case l.err != nil:
		return Evidence{File: "/" + l.name, Says: why(l.err)}
	case len(l.names) == 0:
		return Evidence{File: "/" + l.name, Says: "is empty"}
	}
	return Evidence{File: "/" + l.name, Says: trim(strings.Join(l.names, " "))}
}

// readAll reads the files of a directory with one of the endings, by name. If the
// directory itself cannot be read, the result is one text with that error.
func readAll(tree hosttree.Reader, dir string, endings ...string) []text {
	l := readDir(tree, dir)
	if l.hidden() {
		return []text{{name: dir, err: l.err}}
	}
	var files []text
	for _, name := range l.names {
		for _, ending := range endings {
			if strings.HasSuffix(name, ending) {
				files = append(files, read(tree, path.Join(dir, name)))
				break
			}
		}
	}
	return files
}
