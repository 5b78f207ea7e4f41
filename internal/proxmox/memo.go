package proxmox

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// memo is the content of our hypervisor.Handle: the state between two calls of a step.
type memo struct {
	Since time.Time `json:"since,omitzero"` // when the request was sent, or the wait began
	Task  pve.UPID  `json:"task,omitzero"`  // the task that is waited for
	// Sent: a request was sent, and it is unknown whether it arrived.
	Sent bool `json:"sent,omitempty"`
	// Unknown: a clone with the VM's number runs, and it is unknown whose it is.
	Unknown bool   `json:"unknown,omitempty"`
	Count   int    `json:"count,omitempty"` // of tries, or the progress of the step
	Written string `json:"seen,omitempty"`  // fingerprint of the tombstone or image that was written
	PID     int    `json:"pid,omitempty"`   // of a command in the guest

	// Progress by the task's log, when it was read, and how many lines.
	Far      string    `json:"far,omitempty"`
	LogRead  time.Time `json:"told,omitzero"`
	LogLines int       `json:"line,omitempty"`
}

// requestLife is longer than a request can take: the proxy ends it after 30 s
// (pve-http-server).
const requestLife = 40 * time.Second

// recall parses a handle. A handle that cannot be parsed, or whose time is in the
// future, counts as lost.
func recall(handle hypervisor.Handle) memo {
	var m memo
	if handle == "" || json.Unmarshal([]byte(handle), &m) != nil || m.Since.After(time.Now()) {
		return memo{}
	}
	return m
}

func (m memo) handle() hypervisor.Handle {
	text, err := json.Marshal(m)
	if err != nil {
		panic("proxmox: encode a memo: " + err.Error())
	}
	return hypervisor.Handle(text)
}

// wait returns a Wait whose handle is the memo.
func (m memo) wait(what string, again time.Duration) *hypervisor.Wait {
	return &hypervisor.Wait{For: what, Progress: m.Far, CallAfter: again, Handle: m.handle()}
}

// underWay returns the Wait for the memo's task or request.
func (m memo) underWay(what string) *hypervisor.Wait {
	w := m.wait(what, pve.NextPoll(time.Since(m.Since)))
	w.UnderWay, w.Task = true, m.Task.String()
	return w
}

// callAgain is the Wait of a step that must be called again at once.
func callAgain() *hypervisor.Wait { return &hypervisor.Wait{} }

// waitAfterConflict is the Wait after a write that failed because of another write,
// or may have failed.
func waitAfterConflict() *hypervisor.Wait {
	const pause = 500 * time.Millisecond
	return &hypervisor.Wait{For: "another change of the VM", CallAfter: pause + rand.N(pause)}
}

// taskStarted handles the answer to a request for a task. It returns a Wait when the
// task runs, or when that is unknown; an error when it does not run. count goes into
// the memo.
func taskStarted(what string, count int, task pve.Task, err error) (*hypervisor.Wait, error) {
	m := memo{Since: time.Now(), Task: task.UPID, Count: count}
	switch {
	case err == nil && task.IsZero():
		return callAgain(), nil // done without a task: the next read shows it
	case err == nil:
		return m.underWay(what), nil
	case ambiguous(err):
		m.Sent = true
		return m.underWay(what), nil
	}
	return nil, err
}

// taskState is the state of a memo's task.
type taskState int

const (
	taskAbsent taskState = iota // there is no task, or the server does not know it
	taskRunning
	taskEnded
)

// taskError is the error of a task that has ended.
type taskError struct{ error }

func (e *taskError) Unwrap() error { return e.error }

// poll asks for the state of a memo's task. The error is that of the ended task or,
// when it counts as running, the reason why its state cannot be read.
func (b *Backend) poll(ctx context.Context, m memo) (taskState, error) {
	if m.Task.IsZero() {
		return taskAbsent, nil
	}
	ended, err := b.client.Task(m.Task).Poll(ctx, m.Since)
	kind := pve.KindOf(err)
	silent := !ended && (err == nil || kind == pve.Unavailable || kind == pve.Canceled)
	b.queues.update(m.Task, !silent)
	switch {
	case silent:
		return taskRunning, err
	case !ended && kind == pve.NotFound:
		return taskAbsent, nil // the VM shows the result
	case !ended:
		return taskEnded, err // we may not see the task; the VM shows the result, or the error counts
	case err != nil:
		return taskEnded, &taskError{err}
	}
	return taskEnded, nil
}

// follow polls the memo's task. When there is none, or it is unknown, it waits for a
// running task of the same kind on the VM: that is of an earlier run, or of a request
// whose answer was lost. The Wait or the error describe a running task; for one that
// has ended, the error is its result.
func (b *Backend) follow(ctx context.Context, ref inventory.VMRef, m memo, kind, what string) (taskState, *hypervisor.Wait, error) {
	state, err := b.poll(ctx, m)
	refused := state == taskEnded && pve.KindOf(err) == pve.Locked
	switch {
	case state == taskRunning && err == nil:
		return taskRunning, m.underWay(what), nil
	case state == taskRunning, state == taskEnded && !refused:
		return state, nil, err
	}
	if unseen := state == taskAbsent && !m.Task.IsZero(); m.Sent || refused || unseen {
		if task := b.findTask(ctx, ref, kind); !task.IsZero() {
			return taskRunning, memo{Since: m.Since, Task: task, Count: m.Count}.underWay(what), nil
		}
	}
	return state, nil, err
}

// startedOrFound is taskStarted for a request that may fail because a task of the same kind
// already has the lock: then it waits for that task.
func (b *Backend) startedOrFound(ctx context.Context, ref inventory.VMRef, kind, what string, count int, task pve.Task, err error) (*hypervisor.Wait, error) {
	if pve.KindOf(err) == pve.Locked && !ambiguous(err) {
		if under := b.findTask(ctx, ref, kind); !under.IsZero() {
			return memo{Since: time.Now(), Task: under, Count: count}.underWay(what), nil
		}
	}
	return taskStarted(what, count, task, err)
}

// findTask looks for a running task of a VM; the zero UPID when there is none, or
// when the tasks cannot be read.
func (b *Backend) findTask(ctx context.Context, ref inventory.VMRef, kind string) pve.UPID {
	tasks, err := b.client.Tasks(ctx, ref.Host, pve.TaskFilter{Source: "active", VMID: number(ref.ID), Type: kind})
	if err != nil {
		return pve.UPID{}
	}
	for _, task := range tasks {
		if task.Running() {
			return task.UPID
		}
	}
	return pve.UPID{}
}

// lockTimeout is how long a call waits for a lock. Its holders usually need some
// milliseconds.
const lockTimeout = 5 * time.Second

// lock waits for a lock, which is a channel with room for one value. unlock releases
// it; it is nil when the lock was not free in time.
func lock(ctx context.Context, mutex chan struct{}) (unlock func(), err error) {
	timer := time.NewTimer(lockTimeout)
	defer timer.Stop()
	select {
	case mutex <- struct{}{}:
		return func() { <-mutex }, nil
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
