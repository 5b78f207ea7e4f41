package proxmox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/pve"
)

// Limits of concurrent tasks. With more than two full clones on one storage, its
// lock times out (pve-storage, cluster_lock_storage). Starts of large VMs compete
// for the host's memory.
const (
	fullClones   = 2
	linkedClones = 4
	hostStarts   = 4
)

// taskQueues are the running tasks of this program, by the resource that they
// compete for. A task is removed when its end was seen, or when no caller has
// polled it for some time: the caller may have given up.
type taskQueues struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	turn chan struct{} // held while a request is sent, so that each request counts the earlier ones

	// Guarded by taskQueues.mu: when each task was last known to run.
	tasks map[pve.UPID]time.Time
}

// A request tries again after queuePause. A task that nobody polls is forgotten
// after forgetAfter.
const (
	queuePause  = time.Second
	forgetAfter = 30 * time.Second
)

func newTaskQueues() *taskQueues { return &taskQueues{queues: map[string]*queue{}} }

func (f *taskQueues) queue(name string) *queue {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queues[name] == nil {
		f.queues[name] = &queue{turn: make(chan struct{}, 1), tasks: map[pve.UPID]time.Time{}}
	}
	return f.queues[name]
}

// update records that a task still runs, or that it has ended.
func (f *taskQueues) update(task pve.UPID, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.queues {
		if _, ours := s.tasks[task]; ours && ended {
			delete(s.tasks, task)
		} else if ours {
			s.tasks[task] = time.Now()
		}
	}
}

// count returns how many tasks are in a queue: our own, and those active tasks
// that are not our own in another queue.
func (f *taskQueues) count(on *queue, active []pve.UPID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	onOthers := map[pve.UPID]bool{}
	for _, s := range f.queues {
		for upid, seen := range s.tasks {
			switch {
			case time.Since(seen) > forgetAfter:
				delete(s.tasks, upid)
			case s != on:
				onOthers[upid] = true
			}
		}
	}
	n := len(on.tasks)
	for _, upid := range active {
		if _, counted := on.tasks[upid]; !counted && !onOthers[upid] {
			n++
		}
	}
	return n
}

// queuedRequest is a request for a task of which only a limited number may run at once.
type queuedRequest struct {
	what   string // the competing tasks: "clones on local-lvm"
	limit  int
	active func(context.Context) ([]pve.UPID, error) // running tasks of all users; nil when only ours count
	send   func(context.Context) (pve.Task, error)
}

// full returns a Wait when our own tasks alone reach the limit. It sends no request.
func (f *taskQueues) full(c queuedRequest) *hypervisor.Wait {
	if n := f.count(f.queue(c.what), nil); n >= c.limit {
		return queued(n, c)
	}
	return nil
}

func queued(n int, c queuedRequest) *hypervisor.Wait {
	return &hypervisor.Wait{For: fmt.Sprintf("free capacity: %d %s are running", n, c.what), CallAfter: queuePause, Queued: true}
}

// take sends the request, or returns a Wait when the limit is reached. The tasks of
// other users are read before the queue is locked; our own are counted when they are sent.
func (f *taskQueues) take(ctx context.Context, c queuedRequest) (task pve.Task, full *hypervisor.Wait, err error) {
	s := f.queue(c.what)
	var active []pve.UPID
	if c.active != nil && f.count(s, nil) < c.limit {
		if active, err = c.active(ctx); err != nil {
			return pve.Task{}, nil, err
		}
	}
	done, err := lock(ctx, s.turn)
	if err != nil {
		return pve.Task{}, nil, err
	}
	if done == nil {
		return pve.Task{}, &hypervisor.Wait{For: "an earlier request, one of the " + c.what, CallAfter: queuePause, Queued: true}, nil
	}
	defer done()
	if n := f.count(s, active); n >= c.limit {
		return pve.Task{}, queued(n, c), nil
	}
	if task, err = c.send(ctx); err == nil && !task.IsZero() {
		f.mu.Lock()
		defer f.mu.Unlock()
		s.tasks[task.UPID] = time.Now()
	}
	return task, nil, err
}
