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
func Wrap(text string, width int) []Text {
	whole := string(clean(text, maxProse))
	if width < Narrowest {
		return []Text{Text(whole)}
	}
	var lines []Text
	line, length := "", 0
	for _, word := range words(whole) {
		n := utf8.RuneCountInString(word)
		switch {
		case length == 0:
			line, length = word, n
		case length+1+n > width:
			lines = append(lines, Text(line))
			line, length = word, n
		default:
			line, length = line+" "+word, length+1+n
		}
	}
	return append(lines, Text(line))
}

// words splits a text at spaces, but not within what is quoted for a shell.
func words(text string) []string {
	var all []string
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		end := quotedLength(text)
		if next := strings.IndexByte(text[end:], ' '); next >= 0 {
			end += next
		} else {
			end = len(text)
		}
		all = append(all, text[:end])
		text = text[end:]
	}
	return all
}

// quotedLength is the length of the quoted argument that the text begins with:
// 'it'\”s one', 0 for none.
func quotedLength(text string) int {
	length := 0
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
