package capture

import (
	"bytes"
	"unicode"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// readable is the archive that a capture makes: people read it before they send it,
// so whatever the host says, in it are only characters that can be seen.
type readable struct{ *hosttree.Archive }

// WriteFile keeps a text.
func (r readable) WriteFile(name string, data []byte) {
	r.Archive.WriteFile(plain(name), plainText(data))
}

// Mkdir keeps a directory.
func (r readable) Mkdir(name string) { r.Archive.Mkdir(plain(name)) }

// Symlink keeps a link.
func (r readable) Symlink(name, target string) { r.Archive.Symlink(plain(name), plain(target)) }

// Deny keeps that something may not be read.
func (r readable) Deny(name string) { r.Archive.Deny(plain(name)) }

// plain is a name, which stands in one line of the archive.
func plain(name string) string {
	return string(bytes.ReplaceAll(plainText([]byte(name)), []byte("\n"), []byte("\uFFFD")))
}

// plainText is a text in which a sign stands for what cannot be seen. It still is not
// what a file without it would say.
func plainText(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
