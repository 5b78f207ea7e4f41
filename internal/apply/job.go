package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// job is the work on one worker.
type job struct {
	*runner
	worker  *plan.Worker
	record  inventory.Record
	ref     inventory.VMRef // the VM that the next step is about
	outcome Outcome
	away    time.Time        // when the worker's VM was stopped
	claimed inventory.Record // what the card's register says of the worker, as seen or written last; zero for nothing
	seen    inventory.Record // the same, as the plan was made with
}

// step does one step, tells its progress, and repeats it when it was only
// disturbed: every step is safe to repeat.
func (j *job) step(ctx context.Context, step plan.StepKind) error {
	began := time.Now()
	j.tell(Event{Worker: j.worker.Name, Step: step, Phase: Began})
	err := j.persist(ctx, step)
	took := time.Since(began)
	event := Event{Worker: j.worker.Name, Step: step, Phase: Done, Took: took}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		event.Phase, event.Detail = Stopped, err.Error()
		err = &fault.Error{
			Kind: fault.Interrupted, Doing: string(step), Where: fault.Place{Worker: j.worker.Name},
			Fix: "run the same command again: it goes on from here", Cause: err,
		}
	case step == plan.StepAgent:
		// The VM runs as declared; only the proof from inside is missing.
		event.Phase, event.Detail = Warned, err.Error()
		j.outcome.Warnings = append(j.outcome.Warnings, err.Error())
		err = nil
	default:
		event.Phase, event.Detail = Failed, err.Error()
		err = inTheMiddle(err)
	}
	j.tell(event)
	return err
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

// persist repeats a step that failed because something was busy or did not
// answer, a few times and with growing pauses.
func (j *job) persist(ctx context.Context, step plan.StepKind) error {
	const tries = 4
	for try := 1; ; try++ {
		err := j.do(ctx, step)
		kind := fault.KindOf(err)
		if err == nil || try == tries || step == plan.StepAgent || kind != fault.Busy && kind != fault.Unavailable {
			return err
		}
		j.tell(Event{Worker: j.worker.Name, Step: step, Phase: Working, Detail: fmt.Sprintf("trying again: %v", err)})
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(time.Duration(try*try) * 3 * time.Second):
		}
	}
}

// do does one step once.
func (j *job) do(ctx context.Context, step plan.StepKind) error {
	switch step {
	case plan.StepClaim:
		return j.claim(ctx)
	case plan.StepClone:
		return j.clone(ctx)
	case plan.StepConfigure:
		return j.target.Configure(ctx, j.record, *j.worker.Desired)
	case plan.StepAttach:
		return j.target.Attach(ctx, j.record, *j.worker.Desired.Card)
	case plan.StepStart:
		return j.start(ctx)
	case plan.StepAgent:
		return j.agent(ctx)
	case plan.StepPark:
		return j.target.SetParked(ctx, j.ref, true)
	case plan.StepUnpark:
		return j.target.SetParked(ctx, j.ref, false)
	case plan.StepAdopt:
		return j.adopt(ctx)
	case plan.StepShutdown:
		j.away = time.Now()
		return j.target.Stop(ctx, j.ref)
	case plan.StepUnprotect:
		return j.target.Unprotect(ctx, j.ref)
	case plan.StepDestroy:
		return j.target.Destroy(ctx, j.ref)
	case plan.StepRelease:
		return j.release(ctx)
	case plan.StepReplaced:
		return j.replaced(ctx)
	}
	return fmt.Errorf("unknown step %q", step)
}

// clone clones, and takes another number when the planned one was taken
// meanwhile. The claim is brought up to date before each try: after a crash it
// is what tells whose the nameless clone is.
func (j *job) clone(ctx context.Context) error {
	source := j.worker.Source
	kind := limit{"linked clones on " + source.Shelf, j.options.LinkedClones}
	if source.Full {
		kind = limit{"full clones on " + source.Shelf, j.options.FullClones}
	}
	release, err := j.acquire(ctx, kind)
	if err != nil {
		return err
	}
	defer release()
	const tries = 20
	for try := 1; ; try++ {
		err := j.target.Clone(ctx, CloneOrder{
			Record: j.record, TemplateHost: source.Host, TemplateVMID: source.VMID,
			Full: source.Full, Storage: source.Storage, ResourcePool: source.Pool,
		})
		if err == nil {
			j.ref = refOf(j.record)
			return nil
		}
		if !fault.Is(err, fault.Exists) || try == tries {
			return err
		}
		if try == 1 && j.worker.Action == plan.Create && j.seen.VMID == j.record.VMID {
			return j.mayBeOurs(err)
		}
		if err := j.renumber(ctx); err != nil {
			return err
		}
	}
}

// mayBeOurs is the error for a number that an earlier run had claimed for this
// worker, that was free when we looked, and is taken now: most likely by the
// clone that the earlier run asked for just before it died. Another number would
// give the worker a second VM; the next look shows whose it is.
func (j *job) mayBeOurs(err error) error {
	return &fault.Error{
		Kind: fault.Conflict, Doing: "clone the template",
		Where: fault.Place{Host: j.record.Host, VMID: j.record.VMID, Worker: j.worker.Name},
		Why:   "an earlier run claimed this number for this worker, and a moment ago it was free", Cause: err,
		Fix: "run the same command again: it waits for a clone of the earlier run, and takes another number when the VM is somebody else's",
	}
}

func (j *job) renumber(ctx context.Context) error {
	vmid, err := j.newNumber(ctx)
	if err != nil {
		return err
	}
	j.tell(Event{Worker: j.worker.Name, Step: plan.StepClone, Phase: Working, Detail: fmt.Sprintf("number %d is taken, trying %d", j.record.VMID, vmid)})
	j.record.VMID = vmid
	if j.worker.Slot == nil {
		return nil
	}
	return j.claim(ctx)
}

// claim reserves the card, in place of the claim that the plan was made with or
// that this job wrote before.
func (j *job) claim(ctx context.Context) error {
	err := j.target.Claim(ctx, j.record, j.claimed)
	if err == nil {
		j.claimed = j.record
	}
	return err
}

// release gives back the claim that the plan was made with.
func (j *job) release(ctx context.Context) error {
	held := j.claimed
	if held.Worker == "" {
		held = j.record
	}
	return j.target.Release(ctx, held, j.worker.Host, *j.worker.Slot)
}

func (j *job) start(ctx context.Context) error {
	err := j.target.Start(ctx, j.ref)
	if err == nil && !j.away.IsZero() {
		j.outcome.Gap = time.Since(j.away)
	}
	return err
}

func (j *job) agent(ctx context.Context) (err error) {
	j.outcome.Addresses, err = j.target.AwaitAgent(ctx, j.ref)
	return err
}

// adopt makes a VM provably ours. When that VM is going to be replaced, the
// record is the new one's, and the old VM keeps its own number, host and UUID.
func (j *job) adopt(ctx context.Context) error {
	record := j.record
	if j.worker.Action == plan.Replace {
		record.Host, record.VMID = j.ref.Host, j.ref.VMID
		record.UUID = cmp.Or(j.ref.UUID, record.UUID)
		record.Replacing, record.Created, record.Finished = "", "", "" // those are the successor's
	}
	if err := j.target.Adopt(ctx, j.ref, record); err != nil {
		return err
	}
	j.ref = refOf(record)
	return nil
}

// replaced notes in the VM that the replace which made it is finished.
func (j *job) replaced(ctx context.Context) error {
	record := j.record
	record.Replaced, record.Replacing = record.Replacing, ""
	record.Finished = time.Now().UTC().Format(time.RFC3339)
	if err := j.target.Adopt(ctx, j.ref, record); err != nil {
		return err
	}
	j.record = record
	return nil
}
