package cli

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks text at spaces into lines of at most width characters. A width
// that is too small to be of use breaks nothing, and neither does a word.
func wrap(text string, width int) []string {
	if width < lowestLastColumn {
		return []string{text}
	}
	var lines []string
	line, length := "", 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case length == 0:
			line, length = word, n
		case length+1+n > width:
			lines = append(lines, line)
			line, length = word, n
		default:
			line, length = line+" "+word, length+1+n
		}
	}
	return append(lines, line)
}
