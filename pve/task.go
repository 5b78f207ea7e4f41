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

// TaskResult is how a task ended well.
type TaskResult struct {
	UPID       UPID
	ExitStatus string   // "OK" or "WARNINGS: 1"
	Warnings   []string // the warnings of the log, without "WARN: "
	Log        []string // the end of the log, with warnings; empty when it could not be read
}

// TaskStatus is the state of a task.
type TaskStatus struct {
	UPID       UPID   `json:"upid"`
	Node       string `json:"node"`
	Type       string `json:"type"`
	ID         string `json:"id"`
	User       string `json:"user"`
	TokenID    string `json:"tokenid"`            // the user's token that started it, "ci"
	Status     string `json:"status" required:""` // "running" or "stopped"
	ExitStatus string `json:"exitstatus"`
	PID        int    `json:"pid"`
	StartTime  int64  `json:"starttime"` // seconds since 1970
}

// Running reports whether the task has not ended.
func (s TaskStatus) Running() bool { return s.Status == "running" }

// Succeeded reports whether the task ended well, with warnings or without.
func (s TaskStatus) Succeeded() bool { return s.Status == "stopped" && goodExit(s.ExitStatus) }

func goodExit(exit string) bool {
	return exit == "OK" || strings.HasPrefix(exit, "WARNINGS: ")
}

// How Wait asks: after a second, as few tasks take less, and seldom later, as a VM
// with much memory and a GPU takes half an hour. The end of a task that took a
// second or more is seen late by half a second, or by an eighth of what it took,
// at most 5 s.
const (
	firstPoll  = time.Second
	oftenAsk   = 500 * time.Millisecond
	slowestAsk = 5 * time.Second
	pollShare  = 8

	// A task that has just been started may not be listed yet.
	unknownGrace = 10 * time.Second
	// How long the server may be unreachable before Wait gives up.
	unreachableGrace = 2 * time.Minute
	// The log is worth this much waiting, once the task has ended.
	logPatience = 10 * time.Second
)

// Wait waits until the task has ended, for as long as the context lets it, and
// tells how. It has no deadline of its own: the start of a VM with 512 GiB and
// a GPU may take 34 minutes.
//
// A task that failed is an *Error with the end of its log. When the context
// ends, or the server cannot be reached for two minutes, the error says that
// the task may still run; its field Task has the name to take it up with. The
// zero Task has ended well.
func (t Task) Wait(ctx context.Context) (TaskResult, error) {
	if t.IsZero() {
		return TaskResult{ExitStatus: "OK"}, nil
	}
	start := time.Now()
	heard := start // when the server last answered
	for {
		if !sleep(ctx, nextPoll(time.Since(start))) {
			return TaskResult{}, t.lost(ctx.Err())
		}
		status, err := t.client.TaskStatus(ctx, t.UPID)
		switch {
		case err == nil && !status.Running():
			return t.ended(ctx, status)
		case err == nil:
			heard = time.Now()
		case !t.worthAsking(err, time.Since(start), time.Since(heard)):
			return TaskResult{}, t.lost(err)
		}
	}
}

// Poll asks once whether the task has ended, for callers that have better to do
// than to wait; ended is false while it runs. began is when the caller was given
// the task, by his own clock: one that has just been started may not be known to
// the server yet. The result and the error are those of [Task.Wait].
func (t Task) Poll(ctx context.Context, began time.Time) (ended bool, result TaskResult, err error) {
	if t.IsZero() {
		return true, TaskResult{ExitStatus: "OK"}, nil
	}
	status, err := t.client.TaskStatus(ctx, t.UPID)
	switch e, ok := asError(err); {
	case err == nil && !status.Running():
		result, err = t.ended(ctx, status)
		return true, result, err
	case err == nil:
		return false, TaskResult{}, nil
	case ok && e.Kind == NotFound && e.What == "task" && time.Since(began) < unknownGrace:
		return false, TaskResult{}, nil
	}
	return false, TaskResult{}, t.lost(err)
}

// NextPoll is how long to wait until a task is asked for again, when it has taken
// so long.
func NextPoll(took time.Duration) time.Duration { return nextPoll(took) }

// nextPoll is how long to wait until the task is asked for again, when it has
// taken so long.
func nextPoll(took time.Duration) time.Duration {
	if took < firstPoll {
		return firstPoll
	}
	return min(max(oftenAsk, took/pollShare), slowestAsk)
}

// worthAsking reports whether an error of asking may pass.
func (t Task) worthAsking(err error, since, silent time.Duration) bool {
	switch e, ok := asError(err); {
	case !ok:
		return false
	case e.Kind == NotFound && e.What == "task":
		return since < unknownGrace
	default:
		return e.Kind == Unavailable && silent < unreachableGrace
	}
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

// ended makes the result of a task that is over. The log of one that ended
// without warnings has nothing to tell.
func (t Task) ended(ctx context.Context, status TaskStatus) (TaskResult, error) {
	if status.Succeeded() && status.ExitStatus == "OK" {
		return TaskResult{UPID: t.UPID, ExitStatus: status.ExitStatus}, nil
	}
	log := t.logEnd(ctx)
	if status.Succeeded() {
		return TaskResult{UPID: t.UPID, ExitStatus: status.ExitStatus, Warnings: warnings(log), Log: tail(log, keptLog)}, nil
	}
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
	return TaskResult{}, t.client.secrets.clean(e, nil)
}

const (
	readLog = 1000 // lines that are looked through for warnings and causes
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

// warnings picks the warnings out of a log, where PVE::RESTEnvironment writes
// them as "WARN: …".
func warnings(log []string) []string {
	var found []string
	for _, line := range log {
		if text, ok := strings.CutPrefix(line, "WARN: "); ok {
			found = append(found, strings.TrimSpace(text))
		}
	}
	return found
}

func tail(lines []string, n int) []string {
	return lines[max(0, len(lines)-n):]
}
