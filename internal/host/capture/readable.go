package capture

import (
	"bytes"
	"unicode"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/term"
)

// readable is an archive that contains only printable characters, line feeds and tabs.
// People read a capture before they send it, so nothing in it may be invisible.
type readable struct{ *hosttree.Archive }

// WriteFile adds a text file.
func (r readable) WriteFile(name string, data []byte) {
	r.Archive.WriteFile(plain(name), plainText(data))
}

// Mkdir adds a directory.
func (r readable) Mkdir(name string) { r.Archive.Mkdir(plain(name)) }

// Symlink adds a link.
func (r readable) Symlink(name, target string) { r.Archive.Symlink(plain(name), plain(target)) }

// Deny records that reading the file was refused.
func (r readable) Deny(name string) { r.Archive.Deny(plain(name)) }

// plain makes a name printable. A line feed is replaced too, so that the name stays on
// one line of the archive.
func plain(name string) string {
	return string(bytes.ReplaceAll(plainText([]byte(name)), []byte("\n"), []byte("\uFFFD")))
}

// plainText replaces each character that is not visible, except line feeds and tabs, by
// U+FFFD. If such a character were removed instead, a text with it would look the same as
// one without it.
func plainText(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || term.Shown(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
