package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// callLimit is the timeout of one call of a step. It is longer than a hypervisor's own
// timeouts: 10 s for a write without quorum, 30 s for a host that hangs.
const callLimit = 45 * time.Second

// lastCall is how long the last question to a guest agent may take: the server of Proxmox
// VE waits three seconds for an agent that does not answer, and only one agent of a host is
// asked at a time.
const lastCall = 10 * time.Second

// callLimit is the timeout of the next call. Questions to the guest agent change nothing,
// so they can be given up when their time is over.
func (j *Job) callLimit() time.Duration {
	if j.Step() == plan.StepAgent {
		return min(max(j.left(), lastCall), callLimit)
	}
	return callLimit
}

// Advance calls the current step of a job once and does not wait. It returns a Wait
// when the step is not done, nil when the step is done and the job is at its next
// step, and an error when the job has failed. A step that only warns never fails the
// job: its error is added to the Warnings of the Outcome.
func Advance(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	kind := j.Step()
	step, known := Steps[kind]
	if !known {
		return nil, fmt.Errorf("unknown step %q", kind)
	}
	if j.Since.IsZero() {
		j.Since = time.Now()
	}
	wait, err := j.call(ctx, to, step)
	if wait != nil && wait.Queued {
		j.queue()
	}
	switch {
	case ctx.Err() != nil && (err != nil || wait != nil):
		return nil, j.interrupted(ctx.Err())
	case err == nil && wait == nil:
		j.nextStep()
		return nil, nil
	case wait != nil && j.left() > 0:
		return j.paced(wait), nil
	case wait != nil:
		err = deadlineError(j, step, wait)
	}
	if step.Warns {
		j.Outcome.Warnings = append(j.Outcome.Warnings, Warning{err.Error(), fault.FixOf(err)})
		j.nextStep()
		return nil, nil
	}
	return nil, duringApply(err)
}

// queueLimit is how long a step may be queued before its deadline begins anyway: the
// work that it waits for may hang.
const queueLimit = 24 * time.Hour

// queue notes that the step is queued: its deadline begins with its work.
func (j *Job) queue() {
	if j.queued.IsZero() {
		j.queued = time.Now()
	}
	if time.Since(j.queued) < queueLimit {
		j.Since = time.Now()
	}
}

// paced adds a pause when a step asks too often to be called again at once: then
// something else keeps undoing its work. The pause before the last call is shorter, so
// that this call is made when the time of the step is over and not later.
func (j *Job) paced(wait *hypervisor.Wait) *hypervisor.Wait {
	const calls = 10 // no step has this many writes
	paced := *wait
	if j.immediate++; wait.CallAfter > 0 {
		j.immediate = 0
	} else if j.immediate > calls {
		paced.CallAfter = time.Second
	}
	paced.CallAfter = min(paced.CallAfter, j.left())
	return &paced
}

// call calls the step once. A temporary error becomes a Wait.
func (j *Job) call(ctx context.Context, to hypervisor.Backend, step Step) (*hypervisor.Wait, error) {
	index := j.index
	limited, cancel := context.WithTimeout(ctx, j.callLimit())
	defer cancel()
	wait, err := step.do(limited, to, j)
	switch {
	case err == nil:
		j.retry.answered(wait)
	case ctx.Err() == nil:
		wait, err = j.retry.after(err, time.Now())
	}
	if wait != nil {
		j.Handle = wait.Handle
	}
	if j.index != index { // the job went back to an earlier step
		j.Since, j.Handle, j.retry, j.queued = time.Now(), "", retry{}, time.Time{}
	}
	return wait, err
}

// interrupted is the error of an interrupted job; it names work that may go on, or what
// the job was waiting for.
func (j *Job) interrupted(cause error) error {
	e := &fault.Error{
		Kind: fault.Interrupted, Doing: string(j.Step()), Where: fault.Place{Worker: j.Worker.Name},
		Fix: "run the same command again: it continues from here", Cause: cause,
	}
	if last := j.retry.last; last != nil && last.For != "" {
		e.Why = "it was waiting for " + last.Name()
		if last.UnderWay {
			e.Why += ", which may still run"
		}
	}
	return e
}

// duringApply changes the kind of a step's error where it would be wrong for a command
// that has already changed things. A missing object existed when the plan was made, so
// somebody else removed it: Conflict. A request that the hypervisor rejects is not a
// usage error, which would mean that nothing was changed: Failed.
func duringApply(err error) error {
	switch kind := fault.KindOf(err); {
	case kind == fault.NotFound:
		return &fault.Error{Kind: fault.Conflict, Cause: err}
	case kind == fault.Invalid, kind == fault.Unsupported:
		return &fault.Error{Kind: fault.Failed, Cause: err}
	}
	return err
}

// deadlineError is the error of a step whose deadline has passed.
func deadlineError(j *Job, step Step, wait *hypervisor.Wait) error {
	fix := j.guest.silentFix
	if page, ok := finding.Explain(step.Late); ok && fix == "" {
		fix = page.Fix[0]
	}
	return &fault.Error{
		Kind: fault.Failed, Doing: string(j.Step()), Where: fault.Place{Host: j.Ref.Host, VM: j.Ref.ID, Worker: j.Worker.Name},
		Why: fmt.Sprintf("still waiting for %s after %s (%s)", wait.Name(), j.deadline(), step.Late), Fix: fix,
	}
}
