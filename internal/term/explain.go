package term

import (
	"cmp"
	"fmt"

	"github.com/gpuworker/gpuworker/internal/finding"
)

// longest is the width up to which a line is easy to read.
const longest = 100

// Reading returns a printer for running text, with a width that is easy to read.
func (p Printer) Reading() Printer {
	p.Width = min(cmp.Or(p.Width, longest), longest)
	return p
}

// Explain prints the page of a finding.
func (p Printer) Explain(k finding.Kind) {
	p = p.Reading()
	heading := func(text Text) { Fprintln(p.Out, "\n"+text) }
	Fprintln(p.Out, p.Paint.Bold(string(k.ID)+": "+k.Title)+"\n")
	p.hanging("", 0, k.What+" "+k.Why)
	if len(k.Fix) > 0 {
		heading("What to do:")
	}
	for i, step := range k.Fix {
		head := fmt.Sprintf("  %d. ", i+1)
		p.hanging(Text(head), len(head), step)
	}
	heading("How we know:")
	p.hanging("  ", 2, k.Detected)
	if len(k.Sources) > 0 {
		heading("Sources:")
	}
	for _, source := range k.Sources {
		p.hanging("  ", 2, source)
	}
}
