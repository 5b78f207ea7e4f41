package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
)

// command is one run of the program.
type command func(ctx context.Context, e *engine.Engine) error

func replace(name string) command {
	return func(ctx context.Context, e *engine.Engine) error {
		plans, err := e.PlanReplace(ctx, []string{name}, engine.PlanOptions{})
		if err != nil {
			return err
		}
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		return err
	}
}

func remove(name string) command {
	return func(ctx context.Context, e *engine.Engine) error {
		plans, err := e.PlanDelete(ctx, []string{name})
		if err != nil {
			return err
		}
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		return err
	}
}

// TestKilledAtAnyCall kills the program at each API call of an apply, of a
// replace and of a delete, once before the call is sent and once after it was
// carried out, and runs the same command again. Each time the world must become
// as declared with nothing left over, and no invariant may break on the way.
func TestKilledAtAnyCall(t *testing.T) {
	tests := []struct {
		name    string
		made    bool // the fleet is there already
		run     command
		named   string // the worker that the command may destroy
		workers []string
	}{
		{"apply", false, apply, "", []string{"gpu-1", "gpu-2", "plain-1"}},
		{"replace a GPU worker", true, replace("gpu-1"), "gpu-1", []string{"gpu-1", "gpu-2", "plain-1"}},
		{"delete a GPU worker", true, remove("gpu-1"), "gpu-1", []string{"gpu-2", "plain-1"}},
	}
	var total atomic.Int64
	t.Cleanup(func() { t.Logf("%d cut points in all", total.Load()) })
	for _, tt := range tests {
		for late, when := range map[bool]string{false: "before the request", true: "before the answer"} {
			t.Run(tt.name+", "+when, func(t *testing.T) {
				t.Parallel()
				at := 1
				for cut := true; cut && !t.Failed(); at++ {
					synctest.Test(t, func(t *testing.T) {
						l := newLab(t)
						l.allow(tt.named)
						cut = l.crash(tt.run, tt.made, at, late)
						l.whole()
						l.only(tt.workers...)
						if t.Failed() {
							t.Logf("killed at call %d", at)
						}
					})
				}
				t.Logf("%d cut points", at-2)
				total.Add(int64(at - 2))
			})
		}
	}
}

// crash runs the command until it dies at the given call, and once more as a
// person would. It tells whether the call was reached.
func (l *lab) crash(run command, made bool, at int, late bool) bool {
	ctx := context.Background()
	if made {
		if err := apply(ctx, l.engine("ops@desk", fleet, nil)); err != nil {
			l.t.Fatal(err)
		}
	}
	dying, kill := context.WithCancel(ctx)
	defer kill()
	wire := &cutter{next: l.sim.Transport(), at: at, late: late, kill: kill}
	firstErr := run(dying, l.engine("ops@desk", fleet, wire))
	if !wire.dead {
		if firstErr != nil {
			l.t.Error(firstErr)
		}
		return false
	}
	time.Sleep(time.Second) // a person takes a moment to look and to type
	if err := run(ctx, l.engine("ops@desk", fleet, nil)); err != nil && !fault.Is(err, fault.NotFound) {
		l.t.Errorf("the second run: %v", err)
	}
	return true
}
