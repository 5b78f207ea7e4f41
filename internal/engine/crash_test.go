package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// command is one run of the program.
type command func(ctx context.Context, e testEngine) error

func replace(name string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.PlanReplace(ctx, replaceOptions{Names: []string{name}, KeepRecent: true})
		if err != nil {
			return err
		}
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		return err
	}
}

func remove(name string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.PlanDelete(ctx, []string{name})
		if err != nil {
			return err
		}
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		return err
	}
}

// TestKilledAtAnyCall kills the program at each API call of an apply, a replace and a
// delete, once before the call is sent and once after it was carried out, and runs the
// same command again. Each time the world must become as declared with nothing left
// over, and no invariant may break on the way.
func TestKilledAtAnyCall(t *testing.T) {
	small := onlyGPU1AndPlain()
	tests := []scene{
		{name: "apply", documents: fleet, run: apply, workers: []string{"gpu-1", "gpu-2", "plain-1"}, wide: true},
		{name: "replace a GPU worker", made: small, documents: small, run: replace("gpu-1"), named: "gpu-1", workers: []string{"gpu-1", "plain-1"}},
		{name: "delete a GPU worker", made: small, documents: small, run: remove("gpu-1"), named: "gpu-1", workers: []string{"plain-1"}},
	}
	var total atomic.Int64
	t.Cleanup(func() { t.Logf("%d cut points in all", total.Load()) })
	for _, s := range tests {
		for late, when := range map[bool]string{false: "before the request", true: "before the answer"} {
			t.Run(s.name+", "+when, func(t *testing.T) {
				t.Parallel()
				points := 0
				for at, cut := 1, true; cut && !t.Failed(); at += thorough.Every {
					synctest.Test(t, func(t *testing.T) {
						l := s.set(t)
						if cut = l.killed(s, "ops@desk", at, late); cut {
							points++
							time.Sleep(time.Second) // a person takes a moment to look and to type
							l.again(s, "ops@desk")
						}
						l.settledAs(s)
						if t.Failed() {
							t.Logf("killed at call %d", at)
						}
					})
				}
				t.Logf("%d cut points", points)
				total.Add(int64(points))
			})
		}
	}
}
