// Package term is the one place through which programs print for people. Names
// and messages come from hypervisors, guests, hosts and files, and whoever
// writes them could else write what they like onto the operator's terminal.
//
// Two lines of defence: values are cleaned where they are put into a cell, a
// sentence or a colour (Clean, Sprintf, Paint), so that they cannot even produce
// our own colours; and Writer cleans all that is written, last of all.
package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what is printed, in bytes.
const (
	MaxCell  = 256     // one cell of a table
	MaxValue = 1 << 10 // one value in a sentence
	MaxLine  = 4 << 10 // one line of output
	maxText  = 1000    // lines of a text of several lines
)

// ellipsis stands for what was cut off.
const ellipsis = "…"

// Text may be printed as it is. Constants are such, and what this package makes.
type Text string

// Shown reports whether a character is printed as it is: it can be seen, is what it
// looks like and has a place of its own. Control characters, those that turn the
// direction of writing, take no room or are put on the character before, and blanks
// other than the space are not.
func Shown(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Default_Ignorable_Code_Point)
}

// Clean makes a value of one line fit to be printed: line feeds and tabs become
// spaces, other characters that are not Shown become escapes such as \x1b, and
// what is over MaxValue is cut off. Text that is clean stays as it is.
func Clean(value string) Text { return clean(value, MaxValue) }

// Line makes a sentence fit to be printed, as Clean does, and lets it be almost
// as long as a line.
func Line(text string) Text { return clean(text, maxProse) }

func clean(value string, most int) Text {
	if isClean(value) && len(value) <= most {
		return Text(value)
	}
	var b strings.Builder
	for value != "" {
		r, size := utf8.DecodeRuneInString(value)
		text := value[:size]
		switch {
		case r == '\n', r == '\r', r == '\t':
			text = " "
		case r == utf8.RuneError && size == 1, !Shown(r):
			text = escape(r, text)
		}
		if b.Len()+len(text) > most-len(ellipsis) && len(value) > size || b.Len()+len(text) > most {
			b.WriteString(ellipsis)
			break
		}
		b.WriteString(text)
		value = value[size:]
	}
	return Text(b.String())
}

func isClean(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return !Shown(r) })
		}
	}
	return true
}

// escape makes a character visible; bytes are those that it was read from.
func escape(r rune, bytes string) string {
	switch {
	case r == utf8.RuneError:
		return fmt.Sprintf(`\x%02x`, bytes[0])
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// CleanLines makes a text of several lines fit to be printed, each line for
// itself.
func CleanLines(text string) Text {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	more := len(lines) - maxText
	if more > 0 {
		lines = lines[:maxText]
	}
	for i, line := range lines {
		lines[i] = string(clean(line, maxProse))
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("%s and %d more lines", ellipsis, more))
	}
	return Text(strings.Join(lines, "\n"))
}

// maxProse leaves room in a line for what stands before and after a sentence.
const maxProse = MaxLine - 512

// List joins values, at most as many as are worth reading.
func List(values []string, most int) Text {
	var b strings.Builder
	for i, value := range values {
		if i == most || b.Len() > MaxValue {
			fmt.Fprintf(&b, " %s and %s more", ellipsis, thousands(len(values)-i))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(clean(value, MaxCell)))
	}
	return Text(b.String())
}

// thousands writes a number as people read it: 49,984.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
