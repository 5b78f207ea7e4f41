package apply

import (
	"context"
	"log/slog"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// jobLog writes the log of the work on one worker.
type jobLog struct {
	*slog.Logger
	hypervisor string

	waits time.Time // when it was last said that a step goes on
}

// note writes a record of an event, with what is known of the worker by then. That a
// step still goes on is said every tellEvery.
func (l *jobLog) note(ctx context.Context, j *Job, e Event, err error) {
	if !l.Enabled(ctx, slog.LevelInfo) {
		return
	}
	outcome, took := string(e.Phase), e.Took
	if e.Phase == Working {
		if time.Since(l.waits) < tellEvery {
			return
		}
		l.waits = time.Now()
		outcome, took = "waiting", time.Since(j.Since)
	}
	attrs := []slog.Attr{
		slog.String("worker", e.Worker), slog.String("step", string(e.Step)), slog.String("outcome", outcome),
	}
	if err != nil {
		attrs = append(attrs, slog.String("kind", string(fault.KindOf(err))))
	}
	attrs = append(attrs, slog.Duration("took", took), slog.String("action", string(j.Worker.Action)), slog.String("hypervisor", l.hypervisor))
	for _, a := range []slog.Attr{
		slog.String("host", j.host()), slog.String("vm", j.Ref.ID), slog.String("card", j.Worker.Card.String()),
		slog.String(detailKey[e.Phase], e.Detail),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	l.LogAttrs(ctx, slog.LevelInfo, "step", attrs...)
}

// detailKey is what the detail of an event is called in its record.
var detailKey = map[Phase]string{Working: "for", Warned: "warning", Failed: "error", Stopped: "error"}

// host is where the worker is, or will be.
func (j *Job) host() string {
	if j.Ref.Host != "" {
		return j.Ref.Host
	}
	return j.Worker.Host
}
