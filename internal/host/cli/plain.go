package cli

import (
	"cmp"
	"crypto/rand"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain writes what may be written on a terminal: files of the host, and captured
// ones of others even more, may hold anything. What cannot be seen becomes a blank,
// and a line has an end. Our own colours stay: they begin with a mark that nobody
// outside of this run can know. It keeps the first error, since who prints a line
// does not look.
type plain struct {
	to   io.Writer
	mark string
	line int  // bytes of the line so far
	cut  bool // the rest of the line is left out
	err  error
}

// maxLine bounds a line, in bytes without colours; with them it has 4 KiB at most.
const maxLine = 4000

func newPlain(to io.Writer) *plain { return &plain{to: to, mark: "\x1b" + rand.Text()} }

func (p *plain) Write(data []byte) (int, error) {
	var b strings.Builder
	for i, part := range strings.Split(string(data), p.mark) {
		if i > 0 {
			code, text, _ := strings.Cut(part, "m")
			b.WriteString("\x1b[" + code + "m")
			part = text
		}
		p.clean(&b, part)
	}
	if _, err := io.WriteString(p.to, b.String()); err != nil {
		p.err = cmp.Or(p.err, err)
		return 0, err
	}
	return len(data), nil
}

func (p *plain) clean(b *strings.Builder, text string) {
	const more = "…"
	for _, r := range text {
		if r == '\n' {
			p.line, p.cut = 0, false
			b.WriteRune(r)
			continue
		}
		if !visible(r) {
			r = ' '
		}
		p.line += utf8.RuneLen(r)
		switch {
		case p.cut:
		case p.line > maxLine-len(more):
			p.cut = true
			b.WriteString(more)
		default:
			b.WriteRune(r)
		}
	}
}

// visible tells characters that take a place of their own on a terminal and change
// nothing around them. Marks that are put on the character before do not.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Default_Ignorable_Code_Point)
}
