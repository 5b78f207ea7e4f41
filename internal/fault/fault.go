// Package fault has the errors of this program. Their kinds are named after the
// decision of the caller, and they carry what an operator needs: what was being done,
// where, why it failed and what to do next.
//
// A backend maps the errors of its hypervisor to a Kind in one place. Front ends map
// the Kind to an exit code, a diagnostic or a condition.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Kind is the decision that an error asks for.
type Kind string

// The kinds. Each comment says what a caller does about it.
const (
	Unknown     Kind = "Unknown"     // report it
	Invalid     Kind = "Invalid"     // fix the input
	NotFound    Kind = "NotFound"    // treat as absent, or fix the name
	Exists      Kind = "Exists"      // find out who has it, or choose another one
	Conflict    Kind = "Conflict"    // the world changed: observe and plan again
	Busy        Kind = "Busy"        // wait and try again
	Denied      Kind = "Denied"      // grant a privilege or change the login
	Refused     Kind = "Refused"     // forbidden by our own rules or the hypervisor's
	Unavailable Kind = "Unavailable" // unreachable; the request may or may not have been carried out
	Unsupported Kind = "Unsupported" // not possible with this version
	Stuck       Kind = "Stuck"       // a person must act on the host
	Failed      Kind = "Failed"      // the hypervisor tried and failed
	Interrupted Kind = "Interrupted" // the operator stopped it
)

// Place says where something happened. Fields that are unknown or do not apply are
// empty.
type Place struct {
	Hypervisor string `json:"hypervisor,omitempty"`
	Host       string `json:"host,omitempty"`
	VM         string `json:"vm,omitempty"`
	Worker     string `json:"worker,omitempty"`
	// Card is the address of the card on the host; the zero BDF for none.
	Card pci.BDF `json:"card,omitzero"`
}

// String writes the place as an operator says it: `VM 9101 on pve1, card 0000:03:00.0`.
func (p Place) String() string {
	var parts []string
	if p.Worker != "" {
		parts = append(parts, p.Worker)
	}
	switch {
	case p.VM != "" && p.Host != "":
		parts = append(parts, fmt.Sprintf("VM %s on %s", p.VM, p.Host))
	case p.VM != "":
		parts = append(parts, fmt.Sprintf("VM %s", p.VM))
	case p.Host != "":
		parts = append(parts, p.Host)
	}
	if !p.Card.IsZero() {
		parts = append(parts, "card "+p.Card.String())
	}
	if len(parts) == 0 && p.Hypervisor != "" {
		parts = append(parts, "hypervisor "+p.Hypervisor)
	}
	return strings.Join(parts, ", ")
}

// Error is a failure with its place and its fix.
type Error struct {
	Kind  Kind
	Doing string // "attach the card"
	Where Place
	Why   string // the reason, in an operator's words; may be empty when Cause says it
	Fix   string // what to do next; may be empty
	Cause error
}

// Error writes "where: doing: why (fix)".
func (e *Error) Error() string {
	var b strings.Builder
	if where := e.Where.String(); where != "" {
		b.WriteString(where + ": ")
	}
	if e.Doing != "" {
		b.WriteString(e.Doing + ": ")
	}
	cause := e.Cause != nil && e.Cause.Error() != context.Canceled.Error() && // which says nothing more than the kind
		(e.Kind != Interrupted || e.Cause.Error() != context.DeadlineExceeded.Error())
	switch {
	case e.Why != "" && cause:
		fmt.Fprintf(&b, "%s: %v", e.Why, e.Cause)
	case e.Why != "":
		b.WriteString(e.Why)
	case cause:
		b.WriteString(e.Cause.Error())
	default:
		b.WriteString(string(e.Kind))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the kind of the first fault in the chain. A canceled context is
// Interrupted, a passed deadline is Unavailable, any other error is Unknown.
func KindOf(err error) Kind {
	var f *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &f):
		return f.Kind
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Unknown
}

// FixOf returns the first fix in the chain, "" when there is none.
func FixOf(err error) string {
	for err != nil {
		var f *Error
		if !errors.As(err, &f) {
			return ""
		}
		if f.Fix != "" {
			return f.Fix
		}
		err = f.Cause
	}
	return ""
}

// Is reports whether the error is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// View is an error for programs.
type View struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	Where   Place  `json:"where"`
}

// ViewOf is the view of an error; its place is that of the first fault in the chain.
func ViewOf(err error) View {
	view := View{Kind: KindOf(err), Message: err.Error(), Fix: FixOf(err)}
	var f *Error
	if errors.As(err, &f) {
		view.Where = f.Where
	}
	return view
}
