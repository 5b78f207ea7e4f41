package pvesim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// task is a worker with its log.
type task struct {
	sim        *Sim
	upid, node string
	kind, id   string
	caller     identity
	user       string // the caller, as text
	pid        int
	pstart     int64
	start, end time.Time
	exit       string // "" while it runs
	log        []string
	warnings   int
	rng        *rand.Rand
	ctx        context.Context
	cancel     context.CancelCauseFunc
	fault      *fault
	done       chan struct{} // closed at the end
}

var (
	// errInterrupted ends a stopped task, which then cleans up.
	errInterrupted = errors.New("received interrupt")
	// errHostDown ends a task whose host went down, without cleaning up.
	errHostDown = errors.New("unexpected status")
)

// startTask starts a worker and returns its UPID; the lock is held. run is called without
// the lock.
func (s *Sim) startTask(r *request, node, kind, id string, run func(t *task) error) string {
	s.nextPID++
	now := time.Now()
	ctx, cancel := context.WithCancelCause(s.ctx)
	t := &task{
		sim: s, node: node, kind: kind, id: id, caller: r.caller, user: r.caller.String(), pid: s.nextPID, start: now, ctx: ctx, cancel: cancel, fault: r.fault,
		done:   make(chan struct{}),
		pstart: now.Sub(s.hosts[node].booted).Milliseconds() / 10,
		rng:    s.streams.next("task %s %s %s", node, kind, id),
	}
	t.upid = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", node, t.pid, t.pstart, now.Unix(), kind, id, t.user)
	s.tasks = append(s.tasks, t)
	s.byUPID[t.upid] = t
	s.changed(TaskStarted, node, 0, t.upid)
	s.spawn(func() {
		defer close(t.done)
		defer cancel(nil)
		t.finish(t.work(run))
	})
	return t.upid
}

// work runs the task's function and applies its fault.
func (t *task) work(run func(t *task) error) error {
	err := run(t)
	if err == nil && t.fault != nil && (t.fault.Effect == TaskFails || t.fault.Effect == TaskFailsButDone) {
		return errors.New(t.fault.text("simulated failure"))
	}
	return err
}

// finish sets the exit status of the task.
func (t *task) finish(err error) {
	s := t.sim
	s.lock()
	defer s.unlock()
	t.end = time.Now()
	switch {
	case errors.Is(err, errHostDown) || errors.Is(err, errClosed):
		t.exit = errHostDown.Error()
	case err != nil:
		t.exit = strings.ReplaceAll(err.Error(), "\n", " ")
		t.log = append(t.log, "TASK ERROR: "+t.exit)
	case t.warnings > 0:
		t.exit = fmt.Sprintf("WARNINGS: %d", t.warnings)
		t.log = append(t.log, "TASK "+t.exit)
	default:
		t.exit = "OK"
		t.log = append(t.log, "TASK OK")
	}
	s.changed(TaskEnded, t.node, 0, t.upid)
}

// await waits some seconds for the end of a task, for background_delay and delay. It
// returns nil if the task succeeded, otherwise its UPID or an error. No lock may be held.
func (s *Sim) await(upid string, seconds int, failed string) (any, error) {
	s.lock()
	t := s.byUPID[upid]
	s.unlock()
	timer := time.NewTimer(s.scaled(Duration(time.Duration(seconds) * time.Second)))
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
		return upid, nil
	case <-s.ctx.Done():
		return nil, errClosed
	}
	s.lock()
	defer s.unlock()
	if t.exit == "OK" || strings.HasPrefix(t.exit, "WARNINGS: ") {
		return nil, nil
	}
	return nil, die("%s: %s", failed, t.exit)
}

// say writes a line to the task's log; the lock is not held.
func (t *task) say(format string, args ...any) {
	t.sim.lock()
	defer t.sim.unlock()
	t.note(format, args...)
}

// note is say for callers that hold the lock.
func (t *task) note(format string, args ...any) {
	t.log = append(t.log, fmt.Sprintf(format, args...))
}

// warn writes a warning, which makes the task end with WARNINGS.
func (t *task) warn(format string, args ...any) {
	t.note(format, args...)
	t.warnings++
}

// sleep waits for the duration of work. The error says why the task must end.
func (t *task) sleep(d Duration) error {
	err := t.sim.sleep(t.ctx, d)
	if err == nil && t.fault != nil && t.fault.Effect == TaskFails {
		return errors.New(t.fault.text("simulated failure"))
	}
	return err
}

// died reports whether the task ended because its host went down.
func died(err error) bool { return errors.Is(err, errHostDown) || errors.Is(err, errClosed) }

func (t *task) status() string {
	if t.exit == "" {
		return "running"
	}
	return "stopped"
}
