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

// silentExit ends a command with an exit code and prints nothing: the output has
// already said everything.
type silentExit int

func (v silentExit) Error() string { return fmt.Sprintf("exit code %d", int(v)) }

// report prints an error, unless it was already printed, and returns the exit code.
func (a *app) report(ctx context.Context, err error) int {
	var said silentExit
	var ended partialError
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
			return fault.ExitInterrupted // the message was printed at the interrupt
		}
	}
	a.write(err)
	return exitCode(err)
}

// write prints an error in the format of -o.
func (a *app) write(err error) {
	if a.forPeople() {
		a.writeError(err)
	} else {
		a.writeErrorForMachines(err)
	}
}

// partialError is the error of a command that did the rest of its work, with its exit code.
type partialError struct {
	error
	code int
}

// Unwrap returns the error without the exit code.
func (e partialError) Unwrap() error { return e.error }

// addUndone adds an error about work that was not done to err, the result of the rest.
// The rest decides the exit code.
func addUndone(undone, err error) error {
	var said silentExit
	switch {
	case err == nil:
		return partialError{undone, fault.ExitFailed}
	case errors.As(err, &said):
		return partialError{undone, int(said)}
	}
	return partialError{errors.Join(undone, err), exitCode(err)}
}

// end flushes the output, reports the error and returns the exit code. A command whose
// output could not be written has failed.
func (a *app) end(ctx context.Context, err error) int {
	a.Out.guard.Flush()
	if lost := a.Out.guard.Err(); lost != nil {
		undone := &fault.Error{
			Kind: fault.Failed, Why: "the output could not be written", Cause: lost,
			Fix: "free space where it is written, then run the same command again",
		}
		if errors.Is(err, lost) {
			err = nil
		}
		err = addUndone(undone, err)
	}
	code := a.report(ctx, err)
	a.Err.guard.Flush()
	return code
}

// interruption makes any error one of kind Interrupted: the work stopped because the
// operator interrupted it.
func interruption(err error) error {
	if fault.Is(err, fault.Interrupted) {
		return err
	}
	return &fault.Error{Kind: fault.Interrupted, Why: "interrupted", Cause: err}
}

// exitCode returns the exit code of an error. Of several joined errors it returns the
// code that all share, or else the general one.
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

// split returns the parts of joined errors, such as those of several hypervisors.
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

// writeError is the only place that prints errors for people. Problems of documents
// are printed one per line, so that editors can jump to them. Other errors are printed
// with place, reason and what to do next.
func (a *app) writeError(err error) {
	w, p := a.Err, a.paint(a.Err)
	var problems document.Problems
	if errors.As(err, &problems) {
		for _, problem := range problems {
			term.Fprintln(w, term.Line(problem.String()))
		}
		all := problems.Error()
		term.Fprintln(w, term.Line(all[strings.LastIndex(all, "\n")+1:])) // the number of problems
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
	// Warnings are those that were not printed with a result.
	Warnings []string `json:"warnings,omitempty"`
}

type errorView struct {
	fault.View
	// Problems are the problems of the documents.
	Problems document.Problems `json:"problems,omitempty"`
	// Others are further errors, such as those of other hypervisors.
	Others []errorView `json:"others,omitempty"`
}

// anyFix and otherFix are the fixes for programs when an error has none.
var anyFix = map[fault.Kind]string{
	fault.Invalid:     "correct what the message names, then run the same command again",
	fault.Interrupted: "run the same command again: it continues where this one stopped",
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
