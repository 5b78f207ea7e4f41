package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// callLimit bounds one call of a step: a hypervisor's own time limits, 10 s for a
// write without quorum and 30 s for a host that hangs, are shorter.
const callLimit = 45 * time.Second

// Advance does the next step of a job once, and never waits. It returns a Wait
// when the step is not done, a nil one when it is and the job has gone on to its
// next step, and an error when the job cannot go on. A step that only warns goes
// on in spite of its error, which is in the Outcome then.
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
		j.goOn()
		return nil, nil
	case wait != nil && time.Since(j.Since) < step.Deadline:
		return j.paced(wait), nil
	case wait != nil:
		err = late(j, step, wait)
	}
	if step.Warns {
		j.Outcome.Warnings = append(j.Outcome.Warnings, err.Error())
		j.goOn()
		return nil, nil
	}
	return nil, inTheMiddle(err)
}

// queueLimit is how long a step may wait for room before its deadline begins all
// the same: what takes the room may hang.
const queueLimit = 24 * time.Hour

// queue notes that the step has not begun its work: its deadline begins then.
func (j *Job) queue() {
	if j.queued.IsZero() {
		j.queued = time.Now()
	}
	if time.Since(j.queued) < queueLimit {
		j.Since = time.Now()
	}
}

// paced keeps a step that is to be called again at once, time and again, from doing
// so without a pause: something undoes what it does.
func (j *Job) paced(wait *hypervisor.Wait) *hypervisor.Wait {
	const calls = 10 // more than any step has writes
	if j.hurried++; wait.Again > 0 {
		j.hurried = 0
	} else if j.hurried > calls {
		slow := *wait
		slow.Again = time.Second
		return &slow
	}
	return wait
}

// call does the step once; an error that may pass becomes a Wait.
func (j *Job) call(ctx context.Context, to hypervisor.Backend, step Step) (*hypervisor.Wait, error) {
	at := j.at
	short, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	wait, err := step.do(short, to, j)
	switch {
	case err == nil:
		j.trouble.over(wait)
	case ctx.Err() == nil:
		wait, err = j.trouble.bear(err, time.Now())
	}
	if wait != nil {
		j.Handle = wait.Handle
	}
	if j.at != at { // it went back
		j.Since, j.Handle, j.trouble, j.queued = time.Now(), "", trouble{}, time.Time{}
	}
	return wait, err
}

// interrupted is the error of a job that was cut off, and what goes on without it.
func (j *Job) interrupted(cause error) error {
	e := &fault.Error{
		Kind: fault.Interrupted, Doing: string(j.Step()), Where: fault.Place{Worker: j.Worker.Name},
		Fix: "run the same command again: it goes on from here", Cause: cause,
	}
	if last := j.trouble.last; last != nil && last.UnderWay {
		e.Why = fmt.Sprintf("%s may still run", last.Name())
	}
	return e
}

// inTheMiddle is an error of a step as the error of a command that has begun to
// change things. What is not there any more was there when the plan was made: it
// was somebody else. What the hypervisor does not take is no fault of the command
// line, which would mean that nothing was changed.
func inTheMiddle(err error) error {
	switch kind := fault.KindOf(err); {
	case kind == fault.NotFound:
		return &fault.Error{Kind: fault.Conflict, Cause: err}
	case kind == fault.Invalid, kind == fault.Unsupported:
		return &fault.Error{Kind: fault.Failed, Cause: err}
	}
	return err
}

// late is the error of a step whose deadline has passed.
func late(j *Job, step Step, wait *hypervisor.Wait) error {
	fix := ""
	if page, ok := finding.Explain(step.Late); ok {
		fix = page.Fix[0]
	}
	return &fault.Error{
		Kind: fault.Failed, Doing: string(j.Step()), Where: fault.Place{Host: j.Ref.Host, VM: j.Ref.ID, Worker: j.Worker.Name},
		Why: fmt.Sprintf("still waiting for %s after %s (%s)", wait.Name(), step.Deadline, step.Late), Fix: fix,
	}
}
