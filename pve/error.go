package pve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Kind classifies an error by the decision of the caller.
type Kind string

// The kinds.
const (
	Unknown          Kind = "Unknown"          // a text that this package does not know: report it
	NotFound         Kind = "NotFound"         // an object does not exist; Error.What says which
	Exists           Kind = "Exists"           // the id or name is in use
	Changed          Kind = "Changed"          // the digest does not match: the object was changed meanwhile
	Locked           Kind = "Locked"           // another operation holds a lock: retry later
	Denied           Kind = "Denied"           // a privilege is missing, or only root@pam may
	Unauthenticated  Kind = "Unauthenticated"  // the login or token was not accepted
	Untrusted        Kind = "Untrusted"        // the server's certificate is not the expected one
	Invalid          Kind = "Invalid"          // the server does not accept the request: fix it
	InUse            Kind = "InUse"            // a PCI device or base volume is held by another VM
	Hardware         Kind = "Hardware"         // IOMMU off, device gone or changed, binding failed
	Protected        Kind = "Protected"        // the VM's protection flag forbids it
	Running          Kind = "Running"          // the VM must be stopped, but it is running
	NotRunning       Kind = "NotRunning"       // the VM must be running, but it is stopped
	AlreadyRunning   Kind = "AlreadyRunning"   // start of a VM that is already running
	AgentUnavailable Kind = "AgentUnavailable" // no guest agent configured, or it does not answer
	AgentForbidden   Kind = "AgentForbidden"   // the guest's agent does not allow or know the command: RHEL's forbids exec
	AgentFailed      Kind = "AgentFailed"      // the guest's agent answered with another error; its text is the guest's
	NoSpace          Kind = "NoSpace"          // a storage is full
	NoMemory         Kind = "NoMemory"         // the node has not enough free memory
	Unsupported      Kind = "Unsupported"      // this server does not know the call
	Unavailable      Kind = "Unavailable"      // no usable answer: network, proxy, timeout, or not the API
	TaskFailed       Kind = "TaskFailed"       // a task failed with a text that matches no other kind
	NoQuorum         Kind = "NoQuorum"         // the cluster has no quorum: nothing can be written
	Canceled         Kind = "Canceled"         // the caller's context ended
)

// Error is the type of all errors of calls and tasks.
type Error struct {
	Kind Kind

	// Where: the call, its node and its VM. The error of a task has no method and
	// path.
	Method string
	Path   string // below /api2/json, without the query
	Node   string
	VMID   int

	// The server's answer. Message is the JSON message, or else the body, or else the
	// reason phrase. Reason is the unchanged phrase of the status line; older servers
	// put the cause only there.
	Status  int // HTTP status, may be 595-599; 0 when there was no answer
	Reason  string
	Message string
	Params  map[string]string // for status 400: message by parameter

	// For NotFound and Exists, the kind of the object; "" when the text does not name it.
	What string // "vm", "mapping", "storage", "volume", "pool", "task", in a guest "file", "program", "process" …

	// The task that failed, or that may still be running, and the end of its log.
	Task UPID
	Log  []string

	// Ambiguous reports whether it is not known if a write was carried out. Read the
	// state before sending it again.
	Ambiguous bool

	// Cause is the underlying error of the network, TLS or the context.
	Cause error

	// passing marks temporary faults of the connection, after which a read may be
	// retried.
	passing bool
}

// KindOf returns the kind of the first *Error in the chain. It is the empty Kind
// for nil, Canceled for a context error, and Unknown for anything else.
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

// Error returns the place, the message, and the relevant lines of the task's log:
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
		b.WriteString("; it is not known whether the request was carried out: check the state before sending it again")
	}
	for _, line := range e.tellingLog() {
		b.WriteString("\n  | " + clip(line, maxShownLine))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// LogValue returns the fields for searching in a log.
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
	case !e.Task.IsZero() && e.Cause == nil: // with a cause, not the task failed but the wait for it
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
	messages := make([]string, 0, len(e.Params))
	for _, name := range sortedKeys(e.Params) {
		messages = append(messages, name+": "+e.Params[name])
	}
	return strings.TrimSuffix(text, ".") + ": " + strings.Join(messages, "; ")
}

// Maximum lengths of the server's texts in an error's text, in bytes. Its usual
// messages have a few hundred bytes.
const (
	maxShownText = 2000
	maxShownLine = 500
)

// maxShownLog is the maximum number of lines of a task's log in an error's text.
// QEMU's own message is usually among the last three.
const maxShownLog = 5

// tellingLog returns the end of the task's log, without lines that repeat the message.
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
