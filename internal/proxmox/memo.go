package proxmox

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/pve"
)

// memo is what a hypervisor.Handle of ours says.
type memo struct {
	Since time.Time `json:"since,omitzero"` // when the request was sent, or what is waited for was seen first
	Task  pve.UPID  `json:"task,omitzero"`  // what works on it
	// Sent: a request was sent of which nobody knows whether it arrived.
	Sent  bool   `json:"sent,omitempty"`
	Count int    `json:"count,omitempty"` // how often something was met
	Seen  string `json:"seen,omitempty"`  // what was read then
}

// recall reads a handle; one that cannot be read counts as lost.
func recall(handle hypervisor.Handle) memo {
	var m memo
	if handle == "" || json.Unmarshal([]byte(handle), &m) != nil {
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
	return &hypervisor.Wait{For: what, Again: again, Handle: m.handle()}
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
// knows, or the error says that it is not.
func begun(ctx context.Context, what string, task pve.Task, err error) (*hypervisor.Wait, error) {
	m := memo{Since: time.Now(), Task: task.UPID}
	switch {
	case err == nil && task.IsZero():
		return onceMore(), nil // done at once: the next look shows it
	case err == nil:
		return m.underWay(what), nil
	case ambiguous(err), ctx.Err() != nil:
		m.Sent = true
		return m.underWay(what), nil
	}
	return nil, err
}

// poll asks for the task of a memo. Its error is how the task ended, or why that
// cannot be seen while ended is false.
func (b *Backend) poll(ctx context.Context, m memo) (ended bool, err error) {
	ended, _, err = b.client.Task(m.Task).Poll(ctx, m.Since)
	if err != nil && !ended && pve.KindOf(err) != pve.Unavailable {
		return true, err // nobody can see how it goes on: what is there tells
	}
	b.flights.seen(m.Task, ended)
	return ended, err
}

// findTask looks for a task that works on a VM just now, as after a request of
// which nobody knows whether it arrived; the zero UPID when there is none.
func (b *Backend) findTask(ctx context.Context, host string, vmid int, kind string) pve.UPID {
	tasks, err := b.client.Tasks(ctx, host, pve.TaskFilter{Source: "active", VMID: vmid, Type: kind})
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
