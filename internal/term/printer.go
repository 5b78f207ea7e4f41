package term

import (
	"io"
	"strings"
)

// Printer is where a command prints for people, and how.
type Printer struct {
	Out   io.Writer
	Paint Paint
	Width int // columns of the terminal; 0 is as wide as it takes
	// Advice completes the commands in a piece of advice; nil leaves it as it is.
	Advice func(string) string
}

// Indented cleans a text of several lines and indents all but the first, so that
// none of them looks like something that we say.
func Indented(text, indent string) Text {
	return Text(strings.ReplaceAll(string(CleanLines(text)), "\n", "\n"+indent))
}

func (p Printer) advice(text string) string {
	if p.Advice == nil {
		return text
	}
	return p.Advice(text)
}

// hanging prints a text behind a head of that many columns; further lines begin
// below the text.
func (p Printer) hanging(head Text, columns int, text string) {
	Fprintln(p.Out, head+Lines(Wrap(text, p.Width-columns), columns))
}
