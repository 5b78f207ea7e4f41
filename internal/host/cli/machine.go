package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// machine writes a value for machines.
func (t *Tool) machine(value any) error { return writeJSON(t.Out, value) }

func writeJSON(to io.Writer, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data) + "\n") {
		if _, err := io.WriteString(to, shortened(escaped(line))); err != nil {
			return err
		}
	}
	return nil
}

// escaped is a line of JSON in which what cannot be seen stands as JSON writes it:
// who reads it gets what was there.
func escaped(line string) string {
	var b strings.Builder
	for _, r := range line {
		switch {
		case r == '\n' || visible(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// shortened is a line of indented JSON that is not too long: when it is, it holds a
// string, and that is cut.
func shortened(line string) string {
	const more = `…"`
	if len(line) <= maxLine-len("…") {
		return line
	}
	end := more + "\n"
	if strings.HasSuffix(line, ",\n") {
		end = more + ",\n"
	}
	at := 0
	for {
		_, n := utf8.DecodeRuneInString(line[at:])
		switch {
		case strings.HasPrefix(line[at:], `\u`):
			n = len(`\u0000`)
		case line[at] == '\\':
			n = 2
		}
		if at+n+len(end) > maxLine-len("…") {
			return line[:at] + end
		}
		at += n
	}
}
