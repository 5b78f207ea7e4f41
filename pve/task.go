package pve

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Task is something that the server does in the background. It is a plain
// value; keep its UPID before waiting, to take it up again after a crash.
type Task struct {
	UPID   UPID
	client *Client
}

// Task takes up a task by its name.
func (c *Client) Task(upid UPID) Task { return Task{UPID: upid, client: c} }

// String is the task's name.
func (t Task) String() string { return t.UPID.String() }

// IsZero reports whether there is no task: the server did at once what it was
// asked.
func (t Task) IsZero() bool { return t.UPID.IsZero() }

// taskStatus is the state of a task.
type taskStatus struct {
	Status     string `json:"status" required:""` // "running" or "stopped"
	ExitStatus string `json:"exitstatus"`         // "OK", "WARNINGS: 1", or why it failed
}

func (s taskStatus) running() bool { return s.Status == "running" }

// succeeded reports whether the task ended well, with warnings or without.
func (s taskStatus) succeeded() bool { return s.Status == "stopped" && goodExit(s.ExitStatus) }

func goodExit(exit string) bool {
	return exit == "OK" || strings.HasPrefix(exit, "WARNINGS: ")
}

// When to ask for a task again: after a second, as few tasks take less, and seldom
// later, as a VM with much memory and a GPU takes half an hour. The end of a task
// that took a second or more is seen late by half a second, or by an eighth of what
// it took, at most 5 s.
const (
	firstPoll  = time.Second
	oftenAsk   = 500 * time.Millisecond
	slowestAsk = 5 * time.Second
	pollShare  = 8

	// A task that has just been started may not be listed yet.
	unknownGrace = 10 * time.Second
	// The log is worth this much waiting, once the task has ended.
	logPatience = 10 * time.Second
)

// Poll asks once whether the task has ended; ended is false while it runs. began is
// when the caller was given the task, by his own clock: one that has just been
// started may not be known to the server yet.
//
// A task that failed is an *Error with the end of its log. When the server cannot
// be asked, the error says that the task may still run; its field Task has the name
// to take it up with. The zero Task has ended well.
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

// Wait polls until the task has ended, or as long as the context lets it, for tests
// and examples: the programs' steps never wait. It has no deadline of its own: the
// start of a VM with 512 GiB and a GPU may take 34 minutes.
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

// NextPoll is how long to wait until a task is asked for again, when it has taken
// so long.
func NextPoll(took time.Duration) time.Duration {
	if took < firstPoll {
		return firstPoll
	}
	return min(max(oftenAsk, took/pollShare), slowestAsk)
}

// lost is the error for a task whose end was not seen.
func (t Task) lost(err error) error {
	e := &Error{
		Kind: KindOf(err), Node: t.UPID.Node, VMID: t.UPID.VMID(),
		Task: t.UPID, Ambiguous: true, Cause: err,
	}
	state := "the task may still run"
	if e.Kind == NotFound {
		state, e.What = "the server does not know the task", "task"
	}
	e.Message = fmt.Sprintf("stopped waiting for %s; %s (%s): %v", t.UPID.what(), state, t.UPID, err)
	return e
}

// ended is how a task ended that is over: nil when it ended well.
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
		e.raceForID(t.UPID.VMID())
	}
	// The server lost track of the task: the node went down, or it was killed.
	e.Ambiguous = e.Message == "unexpected status"
	e.Log = tail(log, keptLog)
	return t.client.secrets.clean(e, nil)
}

const (
	readLog = 1000 // lines that are looked through for causes
	keptLog = 20   // lines that are kept
)

// logEnd reads the log, from its start when it is short and its end otherwise.
// A log that cannot be read is no reason to call a task failed.
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
