package term

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
)

// Finding is a finding as a report prints it, with what only some programs know.
type Finding struct {
	finding.Finding
	Evidence []string // what was seen that says so
	Later    string   // when it will be otherwise, and how
	Then     string   // what will be seen when the fix has worked
}

// brief reports whether there is nothing to say but that it passes.
func (f Finding) brief() bool {
	return f.Verdict == finding.Pass && len(f.Evidence) == 0 && f.Later == "" && f.Then == ""
}

// Mark is a verdict as one sign.
func (p Paint) Mark(v finding.Verdict) Text {
	switch v {
	case finding.Pass:
		return p.Green("✓")
	case finding.Fail:
		return p.Red("✗")
	case finding.Unknown:
		return p.Yellow("?")
	default:
		return p.Dim("·")
	}
}

// Findings prints a report layer by layer. Unless verbose, the passes of a layer
// are a number.
func (p Printer) Findings(all []Finding, verbose bool) {
	for _, layer := range finding.Layers {
		passed := 0
		var shown []Finding
		for _, f := range all {
			switch {
			case f.Layer != layer:
			case f.brief() && !verbose:
				passed++
			default:
				shown = append(shown, f)
			}
		}
		name := string(layer)
		if passed > 0 {
			p.layerLine(finding.Pass, name, fmt.Sprintf("%d passed", passed))
			name = ""
		}
		for _, f := range shown {
			p.finding(f, name)
			name = ""
		}
	}
}

// NotEvaluated prints the layers that nobody judged.
func (p Printer) NotEvaluated(layers []finding.Layer) {
	for _, layer := range layers {
		p.layerLine(finding.Info, string(layer), "not evaluated")
	}
}

func (p Printer) layerLine(v finding.Verdict, layer, text string) {
	Fprintln(p.Out, p.layerHead(v, layer)+p.Paint.Dim(text))
}

// findingIndent is where the text of a finding begins: mark and layer are
// before it.
const findingIndent = 13

func (p Printer) layerHead(v finding.Verdict, layer string) Text {
	return " " + p.Paint.Mark(v) + " " + p.Paint.Bold(fmt.Sprintf("%-*s", findingIndent-3, layer))
}

func (p Printer) finding(f Finding, layer string) {
	if f.brief() {
		p.hanging(p.layerHead(f.Verdict, layer), findingIndent, f.Reason)
		return
	}
	id := "[" + string(f.ID) + "]"
	lines := Wrap(f.Reason+" "+id, p.Width-findingIndent)
	last := &lines[len(lines)-1]
	if before, ok := strings.CutSuffix(string(*last), id); ok {
		*last = Text(before) + p.Paint.Dim(id)
	}
	Fprintln(p.Out, p.layerHead(f.Verdict, layer)+Lines(lines, findingIndent))
	for _, seen := range f.Evidence {
		p.below(p.Paint.Dim("│"), seen)
	}
	if f.Later != "" {
		p.below(p.Paint.Yellow("↻"), f.Later)
	}
	if f.Fix != "" {
		p.below(p.Paint.Cyan("→"), p.advice(f.Fix))
	}
	if f.Then != "" {
		p.below(" ", "afterwards: "+f.Then)
	}
}

// below prints what belongs to the finding above.
func (p Printer) below(sign Text, text string) {
	p.hanging(Text(strings.Repeat(" ", findingIndent))+sign+" ", findingIndent+2, text)
}

// leastText is the least width that is left to a text beside its place.
const leastText = 30

// ByPlace prints findings where they belong, with their places aligned: why, and on
// the next line what to do, which is said once below several with the same advice.
func (p Printer) ByPlace(all []finding.Finding, indent int) {
	findings := finding.Alike(all)
	place := 0
	for _, f := range findings {
		place = max(place, wide(placeOf(f.Where)))
	}
	column := indent + place
	if place > 0 {
		column += len(gap)
	}
	p.Width = max(p.Width, column+leastText)
	for n, f := range findings {
		head := Sprintf("%*s%-*s", indent, "", column-indent, placeOf(f.Where))
		p.hanging(head, column, f.Reason+" ("+string(f.ID)+")"+alsoAt(f.Others))
		if f.Fix == "" || n+1 < len(findings) && findings[n+1].Fix == f.Fix {
			continue
		}
		arrow := "→ "
		for _, line := range Wrap(p.advice(f.Fix), p.Width-column-2) {
			Fprintln(p.Out, Text(strings.Repeat(" ", column))+p.Paint.Dim(arrow+string(line)))
			arrow = "  "
		}
	}
}

func placeOf(where fault.Place) Text {
	return Clean(strings.TrimSpace(where.Host + " " + where.Card.String()))
}

// alsoAt names the other places of which the same is said.
func alsoAt(others []fault.Place) string {
	if len(others) == 0 {
		return ""
	}
	var places []string
	for _, where := range others {
		places = append(places, string(placeOf(where)))
	}
	return "; the same: " + finding.Several(places)
}
