package hostcli

import (
	"cmp"
	"io"
	"regexp"
	"strings"
	"unicode"
)

// plain writes what may be written on a terminal: files of the host, and captured
// ones of others even more, may hold control characters. What cannot be printed
// becomes a blank; our own colours stay. It keeps the first error, since who prints
// a line does not look.
type plain struct {
	to  io.Writer
	err error
}

var colourForm = regexp.MustCompile("\x1b\\[[0-9]{1,2}m")

func (p *plain) Write(data []byte) (int, error) {
	text := string(data)
	var b strings.Builder
	last := 0
	for _, at := range colourForm.FindAllStringIndex(text, -1) {
		b.WriteString(printable(text[last:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		last = at[1]
	}
	b.WriteString(printable(text[last:]))
	if _, err := io.WriteString(p.to, b.String()); err != nil {
		p.err = cmp.Or(p.err, err)
		return 0, err
	}
	return len(data), nil
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
