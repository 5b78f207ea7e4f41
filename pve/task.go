package pve

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Task is a background operation of the server. It can be copied and compared. To find
// it again after a crash, store its UPID.
type Task struct {
	UPID   UPID
	client *Client
}

// Task returns the task with this UPID.
func (c *Client) Task(upid UPID) Task { return Task{UPID: upid, client: c} }

// String is the task's UPID.
func (t Task) String() string { return t.UPID.String() }

// IsZero reports whether there is no task, because the server completed the operation
// at once.
func (t Task) IsZero() bool { return t.UPID.IsZero() }

// taskStatus is the state of a task.
type taskStatus struct {
	Status     string `json:"status" required:""` // "running" or "stopped"
	ExitStatus string `json:"exitstatus"`         // "OK", "WARNINGS: 1", or why it failed
}

func (s taskStatus) running() bool { return s.Status == "running" }

// succeeded reports whether the task ended successfully, with or without warnings.
func (s taskStatus) succeeded() bool { return s.Status == "stopped" && goodExit(s.ExitStatus) }

func goodExit(exit string) bool {
	return exit == "OK" || strings.HasPrefix(exit, "WARNINGS: ")
}

// The intervals for polling a task. The first poll is after one second, because few
// tasks take less. Later intervals are an eighth of the elapsed time, at least 0.5 s and
// at most 5 s: the start of a VM with much memory and a GPU can take half an hour.
const (
	firstPoll   = time.Second
	minPoll     = 500 * time.Millisecond
	maxPoll     = 5 * time.Second
	pollDivisor = 8

	// A new task may be unknown to the server for this time.
	unknownGrace = 10 * time.Second
	// Timeout for reading the log after the task has ended.
	logPatience = 10 * time.Second
)

// Poll asks once whether the task has ended; ended is false while it runs. began is
// the time when the caller got the task, by the caller's clock: a new task may not be
// known to the server yet.
//
// For a failed task the error is an *Error with the end of its log. If the server
// cannot be asked, or does not know the task, the error says that the task may still be
// running, and its field Task has the UPID. The zero Task has succeeded.
func (t Task) Poll(ctx context.Context, began time.Time) (ended bool, err error) {
	if t.IsZero() {
		return true, nil
	}
	status, err := t.client.taskStatus(ctx, t.UPID)
	switch e, ok := asError(err); {
	case err == nil && !status.running():
		return true, t.ended(ctx, status)
	case err == nil:
		return false, nil
	case ok && e.Kind == NotFound && e.What == "task" && time.Since(began) < unknownGrace:
		return false, nil
	}
	return false, t.lost(err)
}

// Wait polls until the task or the context has ended. It is for tests and examples;
// gpuworker itself uses Poll. It has no deadline of its own: the start of a
// VM with 512 GiB and a GPU may take 34 minutes.
func (t Task) Wait(ctx context.Context) error {
	for began := time.Now(); !t.IsZero(); {
		if !sleep(ctx, NextPoll(time.Since(began))) {
			return t.lost(ctx.Err())
		}
		if ended, err := t.Poll(ctx, began); ended || err != nil {
			return err
		}
	}
	return nil
}

// NextPoll returns the time until the next poll of a task that has taken this long.
func NextPoll(took time.Duration) time.Duration {
	if took < firstPoll {
		return firstPoll
	}
	return min(max(minPoll, took/pollDivisor), maxPoll)
}

// lost returns the error for a task whose end was not observed.
func (t Task) lost(err error) error {
	e := &Error{
		Kind: KindOf(err), Node: t.UPID.Node, VMID: t.UPID.VMID(),
		Task: t.UPID, Ambiguous: true, Cause: err,
	}
	state := "the task may still be running"
	if e.Kind == NotFound {
		state, e.What = "the server does not know the task", "task"
	}
	e.Message = fmt.Sprintf("stopped waiting for %s; %s (%s): %v", t.UPID.what(), state, t.UPID, err)
	return e
}

// ended returns nil if the ended task succeeded, and otherwise its error.
func (t Task) ended(ctx context.Context, status taskStatus) error {
	if status.succeeded() {
		return nil
	}
	log := t.logEnd(ctx)
	e := &Error{
		Node: t.UPID.Node, VMID: t.UPID.VMID(), Task: t.UPID,
		Message: strings.TrimSpace(status.ExitStatus), Log: log,
	}
	if e.Message == "" {
		e.Message = "unexpected status"
	}
	e.describe()
	if t.UPID.Type == "qmclone" {
		e.idInUseIfLocked(t.UPID.VMID())
	}
	// The server does not know the result: the node went down, or the task was killed.
	e.Ambiguous = e.Message == "unexpected status"
	e.Log = tail(log, keptLog)
	return t.client.secrets.clean(e, nil)
}

const (
	readLog = 1000 // lines that are searched for the cause
	keptLog = 20   // lines that are kept in the error
)

// logEnd reads the whole log if it is short, otherwise its first and last lines. A log
// that cannot be read does not change the result of the task.
func (t Task) logEnd(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	lines, total, err := t.client.TaskLog(ctx, t.UPID, 0, readLog)
	if err != nil || total <= len(lines) {
		return lines
	}
	end, _, err := t.client.TaskLog(ctx, t.UPID, max(len(lines), total-readLog), readLog)
	if err != nil {
		return lines
	}
	return append(lines, end...)
}

func tail(lines []string, n int) []string {
	return lines[max(0, len(lines)-n):]
}
