package term

import (
	"strings"
	"unicode/utf8"
)

// Narrowest is the smallest width to which text is wrapped: below it, wrapped text is
// harder to read than a line that is too long.
const Narrowest = 24

// Wrap cleans a text and breaks it at spaces into lines of at most width characters. With
// a width below Narrowest it does not break lines. It never breaks a word, or an argument
// that package shell quoted.
func Wrap(text string, width int) []Text { return WrapText(clean(text, maxProse), width) }

// WrapText does the same for a clean text of any length.
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

// words splits a text at single spaces, but not inside shell quotes. Of several spaces,
// all but one belong to the next word.
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

// quotedLength returns the length of the quoted argument at the beginning of a text:
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
