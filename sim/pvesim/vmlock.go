package pvesim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// lockName is a lock that tasks hold while they work: a file on one host or, without a
// host, a lock of the cluster's file system.
type lockName struct{ host, path string }

func vmLock(host string, vmid int) lockName {
	return lockName{host, fmt.Sprintf("/var/lock/qemu-server/lock-%d.conf", vmid)}
}

// lockOf is the lock of a storage for creating volumes. For a shared storage it is a lock
// of the whole cluster.
func (st *storage) lockOf(host string) lockName {
	if st.Shared {
		return lockName{"", "storage-" + st.Name}
	}
	return lockName{host, "/var/lock/pve-manager/pve-storage-" + st.Name}
}

// timeout is the error for a lock that could not be acquired in time.
func (n lockName) timeout() error {
	if n.host == "" {
		return die("cfs-lock '%s' error: got lock request timeout", n.path)
	}
	return die("can't lock file '%s' - got timeout", n.path)
}

// heldLock has one holder, or several that share it, and a queue of waiters.
type heldLock struct {
	shared int // number of sharing holders; 0 for one exclusive holder
	queue  []*waiter
}

// waiter waits for a lock. The lock is handed on in the order of arrival.
type waiter struct {
	shared  bool
	granted chan struct{}
}

// acquire takes a lock; with shared, together with others that share it. The simulator's
// lock is held on entry and on return, but not while waiting.
func (s *Sim) acquire(ctx context.Context, name lockName, wait Duration, shared bool) error {
	if name.host == "" {
		if err := s.clusterLock(ctx, name.path); err != nil {
			return err
		}
	}
	if s.tryAcquire(name, shared) {
		return nil
	}
	w := &waiter{shared: shared, granted: make(chan struct{})}
	s.locks[name].queue = append(s.locks[name].queue, w)
	timer := time.NewTimer(s.scaled(wait))
	defer timer.Stop()
	s.unlock()
	var err error
	select {
	case <-w.granted:
	case <-timer.C:
		err = name.timeout()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.ctx.Done():
		err = errClosed
	}
	s.lock()
	if err != nil {
		s.giveUp(name, w)
	}
	return err
}

// giveUp leaves the queue, or hands on a lock that was granted meanwhile.
func (s *Sim) giveUp(name lockName, w *waiter) {
	select {
	case <-w.granted:
		s.release(name)
	default:
		held := s.locks[name]
		held.queue = slices.DeleteFunc(held.queue, func(other *waiter) bool { return other == w })
	}
}

// tryAcquire takes a lock if it is free.
func (s *Sim) tryAcquire(name lockName, shared bool) bool {
	held := s.locks[name]
	if held != nil && (held.shared == 0 || !shared || len(held.queue) > 0) {
		return false
	}
	if held == nil {
		held = &heldLock{}
		s.locks[name] = held
	}
	if shared {
		held.shared++
	}
	return true
}

// release releases a lock and hands it to the next waiter.
func (s *Sim) release(name lockName) {
	held := s.locks[name]
	if held == nil {
		return
	}
	if held.shared--; held.shared > 0 {
		return
	}
	held.shared = 0
	if len(held.queue) == 0 {
		delete(s.locks, name)
		return
	}
	exclusive := !held.queue[0].shared
	for len(held.queue) > 0 {
		w := held.queue[0]
		if exclusive != !w.shared {
			return
		}
		held.queue = held.queue[1:]
		if w.shared {
			held.shared++
		}
		close(w.granted)
		if exclusive {
			return
		}
	}
}

// acquireVM takes a VM's lock file, which start, stop, changes and other tasks
// hold while they work.
func (s *Sim) acquireVM(ctx context.Context, host string, vmid int) error {
	return s.acquire(ctx, vmLock(host, vmid), s.timings.VMLock, false)
}

func (s *Sim) releaseVM(host string, vmid int) { s.release(vmLock(host, vmid)) }

// checkLock refuses VMs whose configuration has a lock, such as clones in progress.
func (v *vm) checkLock() error {
	if lock := v.conf["lock"]; lock != "" {
		return die("VM is locked (%s)", lock)
	}
	return nil
}
