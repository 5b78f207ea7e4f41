package cli

import (
	"cmp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/term"
)

// complain prints the error with which the program ends.
func (t *Tool) complain(args []string, code int, err error) {
	if !asksJSON(args) {
		term.Fprintf(t.Err, "gpuworker-host: %s\n", term.Indented(err.Error(), "  "))
		return
	}
	view := fault.ViewOf(err)
	view.Kind = kindOf(code, err)
	view.Fix = cmp.Or(view.Fix, fixFor(args, view.Kind))
	_ = writeJSON(t.Err, map[string]fault.View{"error": view}) // there is no other place to report to
}

// asksJSON reports whether a command line asks for JSON, even if it is not valid. For
// commands whose -o is a file, it does not.
func asksJSON(args []string) bool {
	if len(args) == 0 {
		return false
	}
	if c, known := commandNamed(args[0]); known && c.output != "" {
		return false
	}
	asks := false
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, value, given := strings.Cut(arg, "=")
		switch {
		case name != "-o" && name != "--o" && name != "-output" && name != "--output":
			continue
		case !given && i+1 < len(args):
			value = args[i+1]
		}
		asks = value == "json"
	}
	return asks
}

// kindOf returns the kind of an error, or the kind for the exit code if it has none.
func kindOf(code int, err error) fault.Kind {
	if kind := fault.KindOf(err); kind != fault.Unknown {
		return kind
	}
	switch code {
	case fault.ExitInvalid:
		return fault.Invalid
	case fault.ExitCheck:
		return fault.Refused
	case fault.ExitStuck:
		return fault.Stuck
	}
	return fault.Failed
}

// fixFor is the fix for an error that has none of its own.
func fixFor(args []string, kind fault.Kind) string {
	switch _, known := commandNamed(args[0]); {
	case kind == fault.Invalid && known:
		return "gpuworker-host " + args[0] + " -h"
	case kind == fault.Invalid:
		return "gpuworker-host help"
	case kind == fault.Stuck:
		return "reboot the host"
	}
	return "fix what the message names, then run the same command again"
}
