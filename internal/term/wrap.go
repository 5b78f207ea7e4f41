package term

import (
	"strings"
	"unicode/utf8"
)

// Narrowest is the narrowest that text is wrapped to: below that a wrapped
// sentence is harder to read than a line that is too long.
const Narrowest = 24

// Wrap cleans a text and breaks it at spaces into lines of at most width
// characters. A width that is too small to be of use breaks nothing. A word is
// never broken, and neither is an argument that package shell quoted.
func Wrap(text string, width int) []Text { return WrapText(clean(text, maxProse), width) }

// WrapText does the same with a text that is clean, however long it is.
func WrapText(text Text, width int) []Text {
	if width < Narrowest {
		return []Text{text}
	}
	var lines []Text
	line := ""
	for _, word := range words(string(text)) {
		if line != "" && utf8.RuneCountInString(line+" "+word) > width {
			lines, line = append(lines, Text(line)), ""
		}
		if line == "" {
			line = strings.TrimLeft(word, " ")
		} else {
			line += " " + word
		}
	}
	return append(lines, Text(line))
}

// words splits a text at single spaces, but not within what is quoted for a
// shell. Where there are several spaces, all but one begin the next word.
func words(text string) []string {
	var all []string
	text = strings.Trim(text, " ")
	for text != "" {
		blanks := len(text) - len(strings.TrimLeft(text, " "))
		end := blanks + quotedLength(text[blanks:])
		if next := strings.IndexByte(text[end:], ' '); next >= 0 {
			end += next
		} else {
			end = len(text)
		}
		all = append(all, text[:end])
		text = strings.TrimPrefix(text[end:], " ")
	}
	return all
}

// quotedLength is the length of the quoted argument that the text begins with:
// 'it'\”s one' or --name='it'\”s one', 0 for none.
func quotedLength(text string) int {
	length := 0
	if flag, _, ok := strings.Cut(text, "='"); ok && !strings.Contains(flag, " ") {
		length = len(flag) + len("=")
	}
	for strings.HasPrefix(text[length:], "'") {
		closing := strings.IndexByte(text[length+1:], '\'')
		if closing < 0 {
			return 0
		}
		length += closing + 2
		if !strings.HasPrefix(text[length:], `\''`) {
			return length
		}
		length += len(`\'`)
	}
	return length
}

// Lines joins lines; all but the first are indented.
func Lines(lines []Text, indent int) Text {
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\n" + strings.Repeat(" ", indent))
		}
		b.WriteString(string(line))
	}
	return Text(b.String())
}
