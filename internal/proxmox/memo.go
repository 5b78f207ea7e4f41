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

// memo is what a hypervisor.Handle of ours says.
type memo struct {
	Since time.Time `json:"since,omitzero"` // when the request was sent, or what is waited for was seen first
	Task  pve.UPID  `json:"task,omitzero"`  // what works on it
	// Sent: a request was sent of which nobody knows whether it arrived.
	Sent bool `json:"sent,omitempty"`
	// Unknown: a clone is being made under the VM's number, and nobody knows whose.
	Unknown bool   `json:"unknown,omitempty"`
	Count   int    `json:"count,omitempty"` // how often something was met, or how far it went
	Seen    string `json:"seen,omitempty"`  // what was written then

	// What the task's log told, when that was, and how many lines were read.
	Far  string    `json:"far,omitempty"`
	Told time.Time `json:"told,omitzero"`
	Line int       `json:"line,omitempty"`
}

// requestLife is how long a request may be on its way: none lives longer than the
// proxy's 30 s (pve-http-server).
const requestLife = 40 * time.Second

// recall reads a handle; one that cannot be read, or is of a time to come, counts
// as lost.
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
		panic("proxmox: a memo is made of plain values: " + err.Error())
	}
	return hypervisor.Handle(text)
}

// wait is a Wait that brings the memo back.
func (m memo) wait(what string, again time.Duration) *hypervisor.Wait {
	return &hypervisor.Wait{For: what, Far: m.Far, Again: again, Handle: m.handle()}
}

// underWay is the Wait for a task or a request of the memo.
func (m memo) underWay(what string) *hypervisor.Wait {
	w := m.wait(what, pve.NextPoll(time.Since(m.Since)))
	w.UnderWay, w.Task = true, m.Task.String()
	return w
}

// onceMore is the Wait of a step that is to be called again at once.
func onceMore() *hypervisor.Wait { return &hypervisor.Wait{} }

// second is the Wait after a write that came second to somebody else's, or may
// have done so.
func second() *hypervisor.Wait {
	const pause = 500 * time.Millisecond
	return &hypervisor.Wait{For: "another change of the VM", Again: pause + rand.N(pause)}
}

// begun handles the answer to a request for a task: it is under way, or nobody
// knows, or the error says that it is not, as when it was never sent. count goes into the memo.
func begun(what string, count int, task pve.Task, err error) (*hypervisor.Wait, error) {
	m := memo{Since: time.Now(), Task: task.UPID, Count: count}
	switch {
	case err == nil && task.IsZero():
		return onceMore(), nil // done at once: the next look shows it
	case err == nil:
		return m.underWay(what), nil
	case ambiguous(err):
		m.Sent = true
		return m.underWay(what), nil
	}
	return nil, err
}

// course is how far the task of a memo is.
type course int

const (
	notBegun course = iota // there is none, or the server does not know it any more
	working
	over
)

// taskError is how a task ended. Whatever it was, it does not go on by itself.
type taskError struct{ error }

func (e *taskError) Unwrap() error { return e.error }

// poll asks for the task of a memo. The error is how the task ended, or, while it
// is working, why that cannot be seen.
func (b *Backend) poll(ctx context.Context, m memo) (course, error) {
	if m.Task.IsZero() {
		return notBegun, nil
	}
	ended, err := b.client.Task(m.Task).Poll(ctx, m.Since)
	kind := pve.KindOf(err)
	silent := !ended && (err == nil || kind == pve.Unavailable || kind == pve.Canceled)
	b.flights.seen(m.Task, !silent)
	switch {
	case silent:
		return working, err
	case !ended && kind == pve.NotFound:
		return notBegun, nil // what is there tells
	case !ended:
		return over, err // nobody may see it; what is there tells, or else the error
	case err != nil:
		return over, &taskError{err}
	}
	return over, nil
}

// follow looks how far the work of a memo is. A task of the same kind that works on
// the VM already, of an earlier run or of a request of which nobody knows, is
// waited for as its own. While it is working, the Wait or the error say what is
// known; when it is over, the error says how it ended.
func (b *Backend) follow(ctx context.Context, ref inventory.VMRef, m memo, kind, what string) (course, *hypervisor.Wait, error) {
	at, err := b.poll(ctx, m)
	refused := at == over && pve.KindOf(err) == pve.Locked
	switch {
	case at == working && err == nil:
		return working, m.underWay(what), nil
	case at == working, at == over && !refused:
		return at, nil, err
	}
	if unseen := at == notBegun && !m.Task.IsZero(); m.Sent || refused || unseen {
		if task := b.findTask(ctx, ref, kind); !task.IsZero() {
			return working, memo{Since: m.Since, Task: task, Count: m.Count}.underWay(what), nil
		}
	}
	return at, nil, err
}

// orFind is begun for a request that a lock may have refused because such a task
// is under way already: then that one is waited for.
func (b *Backend) orFind(ctx context.Context, ref inventory.VMRef, kind, what string, count int, task pve.Task, err error) (*hypervisor.Wait, error) {
	if pve.KindOf(err) == pve.Locked && !ambiguous(err) {
		if under := b.findTask(ctx, ref, kind); !under.IsZero() {
			return memo{Since: time.Now(), Task: under, Count: count}.underWay(what), nil
		}
	}
	return begun(what, count, task, err)
}

// findTask looks for a task that works on a VM just now; the zero UPID when there
// is none, or when that cannot be seen.
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

// turnPatience is how long a call stands in a line for its turn. Those before it
// mostly take some milliseconds.
const turnPatience = 5 * time.Second

// turn waits a moment for a turn, of which there is one at a time. done ends it; it
// is nil when the turn did not come.
func turn(ctx context.Context, turns chan struct{}) (done func(), err error) {
	patience := time.NewTimer(turnPatience)
	defer patience.Stop()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-patience.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
