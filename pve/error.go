package pve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Kind is the decision that an error asks of the caller.
type Kind string

// The kinds. Each comment says what happened; what to do follows from it.
const (
	Unknown          Kind = "Unknown"          // a text that this package does not know: report it
	NotFound         Kind = "NotFound"         // it is not there; Error.What says what is missing
	Exists           Kind = "Exists"           // the id or name is taken
	Changed          Kind = "Changed"          // the digest no longer fits: somebody else was faster
	Locked           Kind = "Locked"           // another operation holds a lock: try later
	Denied           Kind = "Denied"           // a privilege is missing, or only root@pam may
	Unauthenticated  Kind = "Unauthenticated"  // the login or token was not accepted
	Untrusted        Kind = "Untrusted"        // the server's certificate is not the expected one
	Invalid          Kind = "Invalid"          // the request makes no sense to the server: fix it
	InUse            Kind = "InUse"            // a PCI device or base volume is held by another VM
	Hardware         Kind = "Hardware"         // IOMMU off, device gone or changed, binding failed
	Protected        Kind = "Protected"        // the VM's protection flag forbids it
	Running          Kind = "Running"          // the VM runs, and must not
	NotRunning       Kind = "NotRunning"       // the VM does not run, and must
	AlreadyRunning   Kind = "AlreadyRunning"   // a start of a VM that runs
	AgentUnavailable Kind = "AgentUnavailable" // no guest agent configured, or it does not answer
	NoSpace          Kind = "NoSpace"          // a storage is full
	NoMemory         Kind = "NoMemory"         // the node has not enough free memory
	Unsupported      Kind = "Unsupported"      // this server does not know the call
	Unavailable      Kind = "Unavailable"      // no usable answer: network, proxying, timeout, not the API
	TaskFailed       Kind = "TaskFailed"       // a task failed with a text that has no kind of its own
	NoQuorum         Kind = "NoQuorum"         // too few nodes of the cluster are up: nothing can be written
	Canceled         Kind = "Canceled"         // the caller's context ended
)

// Error is every error that a call or a task of this package ends with.
type Error struct {
	Kind Kind

	// Where: the call, and the node and VM that it was about. A task's error
	// has no method and path.
	Method string
	Path   string // below /api2/json, without the query
	Node   string
	VMID   int

	// What the server said. Message is the best of the JSON message, the body
	// and the reason phrase; Reason is the phrase of the status line as it
	// came, which older servers use as the only place for the cause.
	Status  int // HTTP status, 595-599 included; 0 when there was no answer
	Reason  string
	Message string
	Params  map[string]string // for status 400: complaint by parameter

	// What was found in the text. Empty when it was not there.
	What string // NotFound, Exists: "vm", "mapping", "storage", "volume", "pool", "task" …

	// The task that failed, or that may still run; and the end of its log.
	Task UPID
	Log  []string

	// Ambiguous reports whether a request to change something may or may not have
	// been carried out: look before repeating it.
	Ambiguous bool

	// Cause is the error below: of the network, TLS or the context.
	Cause error

	// passing marks faults of the way to the server, which a repeated read
	// may not meet again.
	passing bool
}

// KindOf tells the kind of the first *Error in the chain. It is the empty Kind
// for nil, Canceled for a bare context error, and Unknown for anything else.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled
	default:
		return Unknown
	}
}

// Error says where, what, and what the task's log adds:
//
//	PUT /nodes/pve1/qemu/101/config: VM is locked (clone) (500)
//	task qmstart of VM 101 on pve1 failed: start failed: QEMU exited with code 1
//	  | kvm: -device vfio-pci,…: Cannot allocate memory
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(clip(e.where(), maxShownText))
	b.WriteString(clip(oneLine(e.text()), maxShownText))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	if e.Ambiguous && e.Method != "" {
		b.WriteString("; the request may or may not have been carried out: look before repeating it")
	}
	for _, line := range e.tellingLog() {
		b.WriteString("\n  | " + clip(line, maxShownLine))
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// LogValue gives the fields that a log record is searched by.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", string(e.Kind)), slog.String("error", e.Error())}
	if e.Node != "" {
		attrs = append(attrs, slog.String("node", e.Node))
	}
	if e.VMID != 0 {
		attrs = append(attrs, slog.Int("vmid", e.VMID))
	}
	if !e.Task.IsZero() {
		attrs = append(attrs, slog.String("task", e.Task.String()))
	}
	return slog.GroupValue(attrs...)
}

func (e *Error) where() string {
	switch {
	case e.Method != "":
		return e.Method + " " + e.Path + ": "
	case !e.Task.IsZero() && e.Cause == nil: // with a cause it was the waiting that failed
		return "task " + e.Task.what() + " failed: "
	default:
		return ""
	}
}

func (e *Error) text() string {
	text := e.Message
	if text == "" && e.Cause != nil {
		text = e.Cause.Error()
	}
	if text == "" {
		text = string(e.Kind)
	}
	if len(e.Params) == 0 {
		return text
	}
	complaints := make([]string, 0, len(e.Params))
	for _, name := range sortedKeys(e.Params) {
		complaints = append(complaints, name+": "+e.Params[name])
	}
	return strings.TrimSuffix(text, ".") + ": " + strings.Join(complaints, "; ")
}

// How much of what the server says goes into an error's text, in bytes. Its own
// messages are a few hundred.
const (
	maxShownText = 2000
	maxShownLine = 500
)

// maxShownLog is how many lines of a task's log go into an error's text. QEMU's
// own complaint is mostly among the last three.
const maxShownLog = 5

// tellingLog is the end of the task's log without what the text says already.
func (e *Error) tellingLog() []string {
	var lines []string
	for _, line := range e.Log {
		line = strings.TrimSpace(line)
		if line != "" && !strings.Contains(line, strings.TrimSpace(e.Message)) {
			lines = append(lines, clip(line, maxText))
		}
	}
	return lines[max(0, len(lines)-maxShownLog):]
}

// oneLine joins the lines of a text.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	return strings.Join(lines, "; ")
}
