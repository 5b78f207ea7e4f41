package term

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Finding is a finding in a report, with details that only some programs have.
type Finding struct {
	finding.Finding
	Evidence []string // the observations behind the verdict
	Later    string   // a later change that is already configured, and when it happens
	Then     string   // what can be observed after the fix
}

// brief reports whether the finding is a pass without details.
func (f Finding) brief() bool {
	return f.Verdict == finding.Pass && len(f.Evidence) == 0 && f.Later == "" && f.Then == ""
}

// Mark returns the symbol of a verdict.
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

// Findings prints a report layer by layer. Unless verbose, it only prints the number of
// passes of a layer.
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

// NotEvaluated prints the layers that were not checked.
func (p Printer) NotEvaluated(layers []finding.Layer) {
	for _, layer := range layers {
		p.layerLine(finding.Info, string(layer), "not evaluated")
	}
}

func (p Printer) layerLine(v finding.Verdict, layer, text string) {
	Fprintln(p.Out, p.layerHead(v, layer)+p.Paint.Dim(text))
}

// findingIndent is the column of a finding's text, after symbol and layer.
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

// below prints a detail of a finding below it.
func (p Printer) below(sign Text, text string) {
	p.hanging(Text(strings.Repeat(" ", findingIndent))+sign+" ", findingIndent+2, text)
}

// leastText is the smallest width of a text beside its place.
const leastText = 30

// ByPlace prints findings with their places in an aligned column: the reason, and on the
// next line the fix. A fix that several findings in a row share is printed once.
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

// alsoAt names the other places of a finding.
func alsoAt(others []fault.Place) string {
	if len(others) == 0 {
		return ""
	}
	var places []string
	for _, where := range others {
		places = append(places, string(placeOf(where)))
	}
	return "; the same: " + phrase.Several(places)
}
