package tree

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// The text of an archive has a part for each entry, which begins with a line
// between "-- " and " --":
//
//	-- sys/class/iommu/ --                    a directory that is empty
//	-- sys/bus/pci/devices/0000:01:00.0/class --
//	0x030000
//	-- sys/bus/pci/devices/0000:01:00.0 -> ../../../devices/pci0000:00/0000:01:00.0 --
//	-- proc/iomem (denied) --
//	-- sys/bus/pci/devices/0000:01:00.0/config (hex) --
//	de10 b81e …
//
// Text before the first part is a comment. A file that is not text, or does not end
// with a line feed, is written in hex.
const (
	partBegin  = "-- "
	partEnd    = " --"
	hexMark    = " (hex)"
	deniedMark = " (denied)"
	linkMark   = " -> "
)

// ReadArchive reads the text of an archive from an untrusted source.
func ReadArchive(from io.Reader) (*Archive, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxArchive+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxArchive:
		return nil, fmt.Errorf("it is longer than %d MiB", maxArchive>>20)
	}
	return Parse(text)
}

// Parse reads the text of an archive.
func Parse(text []byte) (*Archive, error) {
	a := NewArchive()
	var name string
	var body bytes.Buffer
	begun := false
	end := func(at int) error {
		if !begun {
			return nil
		}
		if err := a.parsePart(name, body.Bytes()); err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		return nil
	}
	began, number := 0, 0
	for line := range bytes.Lines(text) {
		number++
		head, isHead := partName(string(line))
		if !isHead {
			body.Write(line)
			continue
		}
		if err := end(began); err != nil {
			return nil, err
		}
		name, begun, began = head, true, number
		body.Reset()
	}
	return a, end(began)
}

func partName(line string) (string, bool) {
	line = strings.TrimSuffix(line, "\n")
	if !strings.HasPrefix(line, partBegin) || !strings.HasSuffix(line, partEnd) || len(line) <= len(partBegin)+len(partEnd) {
		return "", false
	}
	return line[len(partBegin) : len(line)-len(partEnd)], true
}

func (a *Archive) parsePart(head string, body []byte) error {
	name, target, isLink := strings.Cut(head, linkMark)
	plain, isHex := strings.CutSuffix(head, hexMark)
	refused, isDenied := strings.CutSuffix(head, deniedMark)
	dir, isDir := strings.CutSuffix(head, "/")
	data := slices.Clone(body)
	switch {
	case isLink:
	case isHex:
		name = plain
		decoded, err := hex.DecodeString(strings.Join(strings.Fields(string(body)), ""))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		data = decoded
	case isDenied:
		name = refused
	case isDir:
		name = dir
	}
	if len(head) > maxPath {
		return fmt.Errorf("a name has %d bytes; the maximum is %d", len(head), maxPath)
	}
	if clean := path.Clean(name); clean != name || clean == "." || strings.Contains(name, " ->") || path.IsAbs(clean) || strings.HasPrefix(clean, "..") {
		return fmt.Errorf("%q is not a name inside the tree", name)
	}
	if len(a.entries) >= maxEntries {
		return fmt.Errorf("there are more than %d entries", maxEntries)
	}
	switch {
	case isLink:
		a.putAt(name, entry{kind: link, target: target})
	case isDenied:
		a.putAt(name, entry{kind: denied})
	case isDir:
		a.putAt(name, entry{kind: directory})
	default:
		a.putAt(name, entry{kind: file, data: data})
	}
	return nil
}

// putAt adds an entry at exactly this name, without following links.
func (a *Archive) putAt(name string, e entry) {
	a.entries[name] = e
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, there := a.entries[dir]; !there {
			a.entries[dir] = entry{kind: directory}
		}
	}
}

// Format writes the archive as text, sorted by name.
func (a *Archive) Format() []byte {
	a.mu.RLock()
	defer a.mu.RUnlock()
	full := map[string]bool{} // directories that are not empty
	for name := range a.entries {
		full[path.Dir(name)] = true
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(a.entries)) {
		e := a.entries[name]
		switch {
		case name == ".", e.kind == directory && full[name]:
		case e.kind == directory:
			head(&b, name+"/")
		case e.kind == link:
			head(&b, name+linkMark+e.target)
		case e.kind == denied:
			head(&b, name+deniedMark)
		case isText(name, e.data):
			head(&b, name)
			b.Write(e.data)
		default:
			head(&b, name+hexMark)
			writeHex(&b, e.data)
		}
	}
	return b.Bytes()
}

func head(b *bytes.Buffer, text string) { b.WriteString(partBegin + text + partEnd + "\n") }

// isText reports whether the file can be written to the archive without encoding.
func isText(name string, data []byte) bool {
	if len(data) > 0 && data[len(data)-1] != '\n' || !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return false
	}
	for _, mark := range []string{hexMark, deniedMark, "/"} {
		if strings.HasSuffix(name, mark) {
			return false
		}
	}
	for line := range bytes.Lines(data) {
		if _, isHead := partName(string(line)); isHead {
			return false
		}
	}
	return true
}

func writeHex(b *bytes.Buffer, data []byte) {
	for line := range slices.Chunk(data, 32) {
		b.WriteString(hex.EncodeToString(line) + "\n")
	}
}
