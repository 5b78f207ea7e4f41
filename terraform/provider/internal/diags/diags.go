// Package diags writes the errors and findings of the engine as Terraform diagnostics:
// the summary says what and where, the detail why and what to do next.
package diags

import (
	"errors"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Locate finds the attribute of a field of a document, path.Empty() when there is none,
// and the name of the field in Terraform.
type Locate func(field string) (at path.Path, name string)

// Nowhere finds no attribute.
func Nowhere(field string) (at path.Path, name string) { return path.Empty(), field }

// AddError adds an error: one diagnostic for each problem of a document, and one for each
// of several joined errors.
func AddError(to *diag.Diagnostics, summary string, err error, locate Locate) {
	var problems *engine.ProblemsError
	if errors.As(err, &problems) {
		said := map[string]bool{} // two fields of a document may be one attribute
		for _, p := range problems.Problems {
			if at, name := locate(strings.TrimPrefix(p.Field.Path, "spec.")); !said[at.String()+name+p.Message] {
				said[at.String()+name+p.Message] = true
				AddProblem(to.AddAttributeError, to.AddError, p, locate)
			}
		}
		return
	}
	if joined, several := err.(interface{ Unwrap() []error }); several {
		for _, one := range joined.Unwrap() {
			AddError(to, summary, one, locate)
		}
		return
	}
	to.AddError(clean(summary), Detail(err.Error(), fault.FixOf(err)))
}

// AddWarning adds a problem of a document as a warning.
func AddWarning(to *diag.Diagnostics, p v1alpha1.Problem, locate Locate) {
	AddProblem(to.AddAttributeWarning, to.AddWarning, p, locate)
}

// AddProblem adds a problem of a document with one of two functions.
func AddProblem(at func(path.Path, string, string), whole func(string, string), p v1alpha1.Problem, locate Locate) {
	text := p.Message
	if p.See != nil {
		text += "; see " + p.See.Name
	}
	const summary = "The configuration is not valid"
	where, name := locate(strings.TrimPrefix(p.Field.Path, "spec."))
	if name != "" {
		text = name + ": " + text
	}
	if !where.Equal(path.Empty()) {
		at(where, summary, clean(text))
		return
	}
	whole(summary, clean(text))
}

// AddRefusals adds the reasons why a worker is refused, as one error.
func AddRefusals(to *diag.Diagnostics, worker string, refusals []finding.Finding) {
	AddFindings(to, "Worker "+worker+" is refused", refusals)
}

// AddFindings adds findings as one error.
func AddFindings(to *diag.Diagnostics, summary string, findings []finding.Finding) {
	to.AddError(clean(summary), Findings(findings))
}

// Findings writes findings, one a line.
func Findings(findings []finding.Finding) string {
	var lines []string
	for _, f := range findings[:min(len(findings), maxReasons)] {
		lines = append(lines, Finding(f))
	}
	if more := len(findings) - maxReasons; more > 0 {
		lines = append(lines, "and "+term.Count(more, "more reason"))
	}
	return strings.Join(lines, "\n")
}

// maxReasons is how many reasons are shown: each host and card may have one.
const maxReasons = 8

// Finding writes a finding with its place and fix.
func Finding(f finding.Finding) string {
	text := f.Reason + " (" + string(f.ID) + ")"
	if where := f.Where.String(); where != "" {
		text = where + ": " + text
	}
	return Detail(text, f.Fix)
}

// Detail writes a reason and what to do next.
func Detail(why, fix string) string {
	if fix == "" {
		return clean(why)
	}
	return clean(why) + "\n→ " + clean(fix)
}

// clean writes a text in the words of Terraform and makes what comes from outside
// harmless; line feeds stay.
func clean(text string) string {
	var lines []string
	for line := range strings.SplitSeq(words(text), "\n") {
		lines = append(lines, string(term.Line(line)))
	}
	return strings.Join(lines, "\n")
}
