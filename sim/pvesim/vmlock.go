package pvesim

import (
	"context"
	"time"
)

// acquire takes a VM's lock file, which start, stop and other tasks hold while
// they work. The simulator's lock is held on entry and on return, but not
// while waiting.
func (s *Sim) acquire(ctx context.Context, vmid int) error {
	timer := time.NewTimer(time.Duration(float64(s.timings.VMLock) / s.timeScale))
	defer timer.Stop()
	for s.flocks[vmid] != nil {
		busy := s.flocks[vmid]
		s.unlock()
		var err error
		select {
		case <-busy:
		case <-timer.C:
			err = lockTimeout(vmid)
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-s.ctx.Done():
			err = errClosed
		}
		s.lock()
		if err != nil {
			return err
		}
	}
	s.flocks[vmid] = make(chan struct{})
	return nil
}

func (s *Sim) release(vmid int) {
	if busy := s.flocks[vmid]; busy != nil {
		delete(s.flocks, vmid)
		close(busy)
	}
}

func lockTimeout(vmid int) error {
	return die("can't lock file '/var/lock/qemu-server/lock-%d.conf' - got timeout", vmid)
}

// checkLock refuses VMs whose configuration has a lock, such as clones under
// way.
func (v *vm) checkLock() error {
	if lock := v.conf["lock"]; lock != "" {
		return die("VM is locked (%s)", lock)
	}
	return nil
}
