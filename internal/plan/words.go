package plan

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/term"
)

// String writes a change as "field: from → to (when)"; for labels and taints, the
// added and removed ones.
func (c Change) String() string {
	when := string(c.When)
	if c.Written {
		when = "written, waits for a " + when
	}
	if c.Field == "labels" || c.Field == "taints" {
		return fmt.Sprintf("%s: %s (%s)", c.Field, setChange(c.From, c.To), when)
	}
	return fmt.Sprintf("%s: %s → %s (%s)", c.Field, c.From, c.To, when)
}

// setChange writes the difference of two comma-separated sets: "+zone=a -zone=b".
func setChange(from, to string) string {
	was, is := setItems(from), setItems(to)
	var words []string
	for _, item := range is {
		if !slices.Contains(was, item) {
			words = append(words, "+"+item)
		}
	}
	for _, item := range was {
		if !slices.Contains(is, item) {
			words = append(words, "-"+item)
		}
	}
	return strings.Join(words, " ")
}

func setItems(text string) []string {
	if text == "none" {
		return nil
	}
	return strings.Split(text, ",")
}

func length(text string) int { return utf8.RuneCountInString(text) }

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-length(text)))
}

// wrap breaks clean text into lines; "" has no lines.
func wrap(text string, width int) (lines []string) {
	if text == "" {
		return nil
	}
	for _, line := range term.WrapText(term.Text(text), max(width, term.Narrowest)) {
		lines = append(lines, string(line))
	}
	return lines
}
