package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/term"
)

// verdict ends a command whose output said everything already: nothing more is
// printed, and the exit code is the verdict.
type verdict int

func (v verdict) Error() string { return fmt.Sprintf("exit code %d", int(v)) }

// report prints an error for the operator, if there is something to say, and
// returns the exit code.
func (a *app) report(ctx context.Context, err error) int {
	var said verdict
	var ended ended
	switch {
	case err == nil:
		return fault.ExitOK
	case errors.As(err, &said):
		return int(said)
	case errors.As(err, &ended):
		a.write(ended.error)
		return ended.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = interruption(err)
		if a.forPeople() && fault.FixOf(err) == "" {
			return fault.ExitInterrupted // the interrupt was answered when it came
		}
	}
	a.write(err)
	return exitCode(err)
}

// write prints an error as -o says.
func (a *app) write(err error) {
	if a.forPeople() {
		a.writeError(err)
	} else {
		a.writeErrorForMachines(err)
	}
}

// ended is an error with the exit code of a command that did the rest of its work.
type ended struct {
	error
	code int
}

// Unwrap gives the error itself.
func (e ended) Unwrap() error { return e.error }

// besidesAll is what a command ends with that did all but this: err is how the rest
// ended.
func besidesAll(undone, err error) error {
	var said verdict
	switch {
	case err == nil:
		return ended{undone, fault.ExitFailed}
	case errors.As(err, &said):
		return ended{undone, int(said)}
	}
	return ended{errors.Join(undone, err), exitCode(err)}
}

// end reports how a command ended when all is written: one whose result nobody got
// did not end well.
func (a *app) end(ctx context.Context, err error) int {
	a.Out.guard.Flush()
	if lost := a.Out.guard.Err(); lost != nil {
		undone := &fault.Error{
			Kind: fault.Failed, Why: "the output could not be written", Cause: lost,
			Fix: "make room where it goes, then run the same command again",
		}
		if errors.Is(err, lost) {
			err = nil
		}
		err = besidesAll(undone, err)
	}
	code := a.report(ctx, err)
	a.Err.guard.Flush()
	return code
}

// interruption is an error as the operator's doing: whatever broke off did so
// because it was told to.
func interruption(err error) error {
	if fault.Is(err, fault.Interrupted) {
		return err
	}
	return &fault.Error{Kind: fault.Interrupted, Why: "interrupted", Cause: err}
}

// exitCode is that of the error; of several joined ones the code that all
// share, else the general one.
func exitCode(err error) int {
	parts := split(err)
	code := fault.ExitCode(parts[0])
	for _, part := range parts[1:] {
		if fault.ExitCode(part) != code {
			return fault.ExitFailed
		}
	}
	return code
}

// split takes joined errors apart, such as those of several hypervisors.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
		var parts []error
		for _, part := range joined.Unwrap() {
			parts = append(parts, split(part)...)
		}
		return parts
	}
	return []error{err}
}

// writeError is the one place that prints errors for people. Problems of
// documents are printed as they are, one a line, so that editors can jump to
// them; all else is place, what, why, and what to do next.
func (a *app) writeError(err error) {
	w, p := a.Err, a.paint(a.Err)
	var problems document.Problems
	if errors.As(err, &problems) {
		for _, problem := range problems {
			term.Fprintln(w, term.Line(problem.String()))
		}
		all := problems.Error()
		term.Fprintln(w, term.Line(all[strings.LastIndex(all, "\n")+1:])) // their number
		return
	}
	for _, part := range split(err) {
		term.Fprintf(w, "%s %s\n", p.Red("Error:"), term.Indented(part.Error(), "       "))
		if fix := fault.FixOf(part); fix != "" {
			term.Fprintf(w, "%s  %s\n", p.Bold("Next:"), term.Indented(a.advice(fix), "       "))
		}
	}
}

// errorReport is an error for machines.
type errorReport struct {
	Error errorView `json:"error"`
	// Warnings are those that no result has.
	Warnings []string `json:"warnings,omitempty"`
}

type errorView struct {
	fault.View
	// Problems are those of the documents, when it is they that are wrong.
	Problems document.Problems `json:"problems,omitempty"`
	// Others are further errors, such as those of other hypervisors.
	Others []errorView `json:"others,omitempty"`
}

// anyFix and otherFix are the way out for programs where an error has none.
var anyFix = map[fault.Kind]string{
	fault.Invalid:     "correct what the message names, then run the same command again",
	fault.Interrupted: "run the same command again: it goes on where this one stopped",
}

const otherFix = "run the same command again with -v=2, which logs each call, and look at the last lines"

func (a *app) describe(err error) errorView {
	parts := split(err)
	view := a.describeOne(parts[0])
	for _, other := range parts[1:] {
		view.Others = append(view.Others, a.describeOne(other))
	}
	return view
}

func (a *app) describeOne(err error) errorView {
	view := errorView{View: fault.ViewOf(err)}
	view.Fix = a.advice(cmp.Or(view.Fix, anyFix[view.Kind], otherFix))
	errors.As(err, &view.Problems)
	return view
}
