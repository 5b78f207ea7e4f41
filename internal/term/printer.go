package term

import (
	"io"
	"strings"
)

// Printer prints the output of a command for people.
type Printer struct {
	Out   io.Writer
	Paint Paint
	Width int // columns of the terminal; 0 means no limit
	// Advice adds missing flags to the commands in a suggestion; nil changes nothing.
	Advice func(string) string
}

// Indented cleans a text of several lines and indents all lines but the first, so that
// text from outside cannot look like a line of our own.
func Indented(text, indent string) Text {
	return Text(strings.ReplaceAll(string(CleanLines(text)), "\n", "\n"+indent))
}

func (p Printer) advice(text string) string {
	if p.Advice == nil {
		return text
	}
	return p.Advice(text)
}

// hanging prints a text after a head that is columns wide. Further lines are indented
// to the beginning of the text.
func (p Printer) hanging(head Text, columns int, text string) {
	Fprintln(p.Out, head+Lines(Wrap(text, p.Width-columns), columns))
}
