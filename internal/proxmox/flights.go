package proxmox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/pve"
)

// What may go on at once. With more than two full clones on one storage its lock
// times out (pve-storage, cluster_lock_storage); starts of large VMs compete for
// the host's memory.
const (
	fullClones   = 2
	linkedClones = 4
	hostStarts   = 4
)

// flights are the tasks that this program has under way, by what they compete
// for. A task leaves when its end was seen, or when nobody has asked for it for
// some time: who sent it may have given up.
type flights struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	turn chan struct{} // held while a request is sent, so that each counts those before it

	// Guarded by flights.mu: when each task was known to run last.
	tasks map[pve.UPID]time.Time
}

// A place is asked for again after queuePause; abandoned is when a task is forgotten.
const (
	queuePause = time.Second
	abandoned  = 30 * time.Second
)

func newFlights() *flights { return &flights{queues: map[string]*queue{}} }

func (f *flights) queue(name string) *queue {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queues[name] == nil {
		f.queues[name] = &queue{turn: make(chan struct{}, 1), tasks: map[pve.UPID]time.Time{}}
	}
	return f.queues[name]
}

// seen notes that a task still runs, or that it has ended.
func (f *flights) seen(task pve.UPID, ended bool) {
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

// count is how many tasks are in a queue: ours, and those of the active ones that
// are not ours in another queue.
func (f *flights) count(on *queue, active []pve.UPID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	onOthers := map[pve.UPID]bool{}
	for _, s := range f.queues {
		for upid, seen := range s.tasks {
			switch {
			case time.Since(seen) > abandoned:
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

// contender is a request for a task of which only so many may be under way.
type contender struct {
	what   string // that compete: "clones on local-lvm"
	most   int
	active func(context.Context) ([]pve.UPID, error) // those of others too; nil when only ours count
	send   func(context.Context) (pve.Task, error)
}

// full gives the Wait for room, when ours alone take it all. It asks nobody.
func (f *flights) full(c contender) *hypervisor.Wait {
	if n := f.count(f.queue(c.what), nil); n >= c.most {
		return queued(n, c)
	}
	return nil
}

func queued(n int, c contender) *hypervisor.Wait {
	return &hypervisor.Wait{For: fmt.Sprintf("room: there are %d %s under way", n, c.what), Again: queuePause, Queued: true}
}

// take sends the request, or gives the Wait for room. Those that others have under
// way are looked at before it is our turn: ours are counted as they are sent.
func (f *flights) take(ctx context.Context, c contender) (task pve.Task, full *hypervisor.Wait, err error) {
	s := f.queue(c.what)
	var active []pve.UPID
	if c.active != nil && f.count(s, nil) < c.most {
		if active, err = c.active(ctx); err != nil {
			return pve.Task{}, nil, err
		}
	}
	done, err := turn(ctx, s.turn)
	if err != nil {
		return pve.Task{}, nil, err
	}
	if done == nil {
		return pve.Task{}, &hypervisor.Wait{For: "the request before it, one of the " + c.what, Again: queuePause, Queued: true}, nil
	}
	defer done()
	if n := f.count(s, active); n >= c.most {
		return pve.Task{}, queued(n, c), nil
	}
	if task, err = c.send(ctx); err == nil && !task.IsZero() {
		f.mu.Lock()
		defer f.mu.Unlock()
		s.tasks[task.UPID] = time.Now()
	}
	return task, nil, err
}
