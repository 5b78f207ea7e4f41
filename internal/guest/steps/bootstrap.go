package steps

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/check"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Retries of one step in one run. A step that fails after them is tried again by the next
// run: at the next boot, or when somebody starts it.
const (
	maxTries   = 5
	firstPause = 5 * time.Second
	maxPause   = time.Minute
)

// job is one run of the bootstrap.
type job struct {
	*Machine
	orders *guest.Orders
	guest  *look.Guest // as it was last seen
	report *check.Report
	status *guest.Status
	// unfinished reports whether apt-get complained about an installation that was cut off.
	unfinished bool
}

// step is one row of the bootstrap.
type step struct {
	name string
	// optional: the steps after it are done even if it fails.
	optional bool
	// skip reports whether the orders do not need the step.
	skip func(*job) bool
	// key is what the step is done for. A step that is done for another key is done again.
	key func(*job) string
	// done looks whether it is done. Nil means that only its record tells.
	done func(*job) bool
	do   func(context.Context, *job) error
}

// Bootstrap does all steps. The status has the result even if it returns an error.
func (m *Machine) Bootstrap(ctx context.Context) (*guest.Status, error) {
	j := &job{Machine: m}
	j.look(ctx)
	if err := j.readOrders(); err != nil {
		_ = m.log("bootstrap: "+err.Error(), "") // without root it cannot be written
		return nil, err
	}
	if err := m.shortenLog(); err != nil {
		return nil, err
	}
	j.begin()
	if err := m.log(fmt.Sprintf("bootstrap of worker %s by gpuworker-guest %s, boot %s", j.orders.Worker, m.Program, j.guest.BootID), ""); err != nil {
		return nil, err
	}
	failed := j.steps(ctx)
	return j.status, errors.Join(failed, j.end(ctx))
}

func (j *job) look(ctx context.Context) {
	j.guest = j.Look(ctx)
	if j.status != nil { // what is in memory is newer than the file
		j.guest.Status = j.status
	}
	j.report = j.judge(j.guest)
}

// readOrders refuses orders that are not for this VM.
func (j *job) readOrders() error {
	g := j.guest
	problem := func(kind fault.Kind, why, fix string) error {
		return &fault.Error{Kind: kind, Doing: "read the orders in " + guest.OrdersFile, Why: why, Fix: fix}
	}
	i := slices.IndexFunc(j.report.Findings, func(f check.Finding) bool { return f.ID == finding.GuestOrders })
	f := j.report.Findings[i]
	switch {
	case f.Verdict == finding.Pass:
		j.orders = g.Orders
		return nil
	case g.OrdersFile.Absent():
		return problem(fault.NotFound, "there are none", "run gpuworker apply on the desk: it puts them into the guest")
	case f.Verdict == finding.Unknown:
		return problem(fault.Denied, f.Reason, f.Fix)
	case g.OrdersErr != nil:
		return problem(fault.Invalid, g.OrdersErr.Error(), f.Fix)
	}
	return problem(fault.Refused, f.Reason, f.Fix)
}

// begin makes the status of this run, with the records of earlier ones.
func (j *job) begin() {
	g := j.guest
	old := &guest.Status{}
	if g.Status != nil && strings.EqualFold(g.Status.UUID, g.UUID.Value()) {
		old = g.Status
	}
	j.status = &guest.Status{
		Version: guest.Version, Program: j.Program, UUID: j.report.System.UUID, BootID: g.BootID, OS: g.OS, Kernel: g.Kernel,
		Findings: []finding.Finding{}, GPUs: g.Seen(), Driver: g.Driver,
	}
	for _, s := range allSteps {
		record := guest.Step{Name: s.name, State: guest.StepPending}
		if i := slices.IndexFunc(old.Steps, func(r guest.Step) bool { return r.Name == s.name }); i >= 0 {
			record = old.Steps[i]
		}
		j.status.Steps = append(j.status.Steps, record)
	}
}

// steps does the steps in order. It returns the first error.
func (j *job) steps(ctx context.Context) error {
	var first error
	for i, s := range allSteps {
		err := interrupted(ctx)
		if err == nil {
			err = j.step(ctx, s, &j.status.Steps[i])
		}
		if first == nil {
			first = err
		}
		if err != nil && (!s.optional || ctx.Err() != nil) {
			j.wait(i + 1)
			break
		}
	}
	return first
}

// wait records that the steps from here on were not tried.
func (j *job) wait(from int) {
	for i := from; i < len(j.status.Steps); i++ {
		if record := &j.status.Steps[i]; record.State != guest.StepDone {
			*record = guest.Step{Name: record.Name, State: guest.StepPending}
		}
	}
}

// step does one step.
func (j *job) step(ctx context.Context, s step, record *guest.Step) error {
	if s.skip(j) {
		*record = guest.Step{Name: s.name, State: guest.StepSkipped}
		return nil
	}
	key := s.key(j)
	recorded := record.State == guest.StepDone && record.Key == key
	switch isDone := s.done != nil && s.done(j); {
	case recorded && (isDone || s.done == nil):
		return nil
	case isDone:
		at := now()
		*record = guest.Step{Name: s.name, Key: key, State: guest.StepDone, Tries: record.Tries, Began: at, Ended: at}
		return errors.Join(j.writeStatus(j.status), j.log("step "+s.name+": it is done already", ""))
	}
	if record.Key != key {
		*record = guest.Step{Name: s.name, Key: key}
	}
	return j.try(ctx, s, record)
}

// try does a step until it is done, with pauses.
func (j *job) try(ctx context.Context, s step, record *guest.Step) error {
	for try := 1; ; try++ {
		record.State, record.Began, record.Ended = guest.StepRunning, now(), time.Time{}
		record.Tries++
		if err := errors.Join(j.writeStatus(j.status), j.log("step "+s.name+": begin", "")); err != nil {
			return err
		}
		err := s.do(ctx, j)
		j.look(ctx)
		if err == nil && s.done != nil && !s.done(j) {
			err = &fault.Error{Kind: fault.Failed, Doing: "step " + s.name, Why: "it ended without an error and the guest does not show its effect", Fix: "read " + guest.LogFile}
		}
		j.record(record, err)
		outcome := "step " + s.name + ": done"
		if err != nil {
			outcome = "step " + s.name + ": failed: " + err.Error()
		}
		if err := errors.Join(j.writeStatus(j.status), j.log(outcome, "")); err != nil {
			return err
		}
		again := fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Busy)
		if !again || try == maxTries {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// record writes the result of a try into the record of the step.
func (j *job) record(record *guest.Step, err error) {
	record.State, record.Ended, record.Problem, record.Fix = guest.StepDone, now(), "", ""
	if err != nil {
		record.State, record.Problem, record.Fix = guest.StepFailed, string(term.Clean(err.Error())), string(term.Clean(fault.FixOf(err)))
	}
}

// pause waits before the next try: twice as long each time, and up to half of it longer,
// so that many guests do not ask a mirror at the same moment.
func pause(ctx context.Context, try int) error {
	long := min(firstPause<<(try-1), maxPause)
	long += time.Duration(rand.Float64() * float64(long) / 2)
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return interrupted(ctx)
	case <-timer.C:
		return nil
	}
}

// interrupted is the error of a run that somebody stopped; nil while it goes on.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &fault.Error{Kind: fault.Interrupted, Doing: "bootstrap", Why: "it was interrupted", Fix: "run gpuworker-guest bootstrap: it continues", Cause: ctx.Err()}
}

// end looks for the last time and writes the result.
func (j *job) end(ctx context.Context) error {
	j.look(context.WithoutCancel(ctx))
	s := j.status
	s.Findings, s.Driver, s.GPUs, s.Ready = j.report.Notable(), j.report.Loaded, j.report.GPUs, j.report.Ready
	line := "bootstrap: ready"
	if !s.Ready {
		line = "bootstrap: not ready"
	}
	return errors.Join(j.writeStatus(s), j.log(line, ""))
}
