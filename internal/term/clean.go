// Package term prints the output of all programs for people. Names and messages come
// from hypervisors, guests, hosts and files. Without cleaning, they could control the
// operator's terminal.
//
// There are two defences. Values are cleaned when they are put into a cell, a sentence or
// a colour (Clean, Sprintf, Paint), so that they cannot produce our colours either. And
// Writer cleans all output at the end.
package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is printed, in bytes.
const (
	MaxCell  = 256     // one cell of a table
	MaxValue = 1 << 10 // one value in a sentence
	MaxLine  = 4 << 10 // one line of output
	maxText  = 1000    // lines of a text of several lines
)

// ellipsis replaces what was cut off.
const ellipsis = "…"

// Text may be printed as it is: constants, and the results of this package.
type Text string

// Shown reports whether a character is printed as it is. Control characters, characters
// that change the writing direction, that have no width or combine with the character
// before, and blanks other than the space are not.
func Shown(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Default_Ignorable_Code_Point)
}

// Clean makes a value of one line safe to print: line feeds and tabs become spaces, other
// characters that are not Shown become escapes such as \x1b, and text beyond MaxValue is
// cut off. Clean text stays as it is.
func Clean(value string) Text { return clean(value, MaxValue) }

// Line is Clean for a sentence, which may be almost as long as a line.
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

// escape makes a character visible; bytes are its bytes in the text.
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

// CleanLines makes a text of several lines safe to print; each line is cleaned as by Line.
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

// maxProse is the limit of a sentence; the rest of a line is for text around it.
const maxProse = MaxLine - 512

// List joins up to most values.
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

// thousands writes a number with separators: 49,984.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
