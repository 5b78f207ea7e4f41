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

	lastWait time.Time // when a waiting step was last logged
}

// note logs an event with the present data of the worker. A waiting step is logged
// once every reportEvery.
func (l *jobLog) note(ctx context.Context, j *Job, e Event, err error) {
	if !l.Enabled(ctx, slog.LevelInfo) {
		return
	}
	outcome, took := string(e.Phase), e.Took
	if e.Phase == Working {
		if time.Since(l.lastWait) < reportEvery {
			return
		}
		l.lastWait = time.Now()
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

// detailKey is the log attribute for the detail of an event.
var detailKey = map[Phase]string{Working: "for", Warned: "warning", Failed: "error", Stopped: "error"}

// host is the present or planned host of the worker.
func (j *Job) host() string {
	if j.Ref.Host != "" {
		return j.Ref.Host
	}
	return j.Worker.Host
}
