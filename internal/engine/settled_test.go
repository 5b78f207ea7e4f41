package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestAWorkerThatIsRefusedAfterItsWaitFails: plain-1 waits for a clone that may be it.
// When the clone is a foreign VM with its name, or does not end, the other worker is
// made, and the command reports that plain-1 is not.
func TestAWorkerThatIsRefusedAfterItsWaitFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		request plan.Request
		takes   time.Duration // the clone
		kind    fault.Kind
		says    string
	}{
		{"somebody's VM has its name", plan.Request{Verb: plan.ApplyDocuments}, 10 * time.Minute, fault.Refused, "VM-NAME-TAKEN"},
		{"all or nothing", plan.Request{Verb: plan.ApplyDocuments, AllOrNothing: true}, 10 * time.Minute, fault.Refused, "VM-NAME-TAKEN"},
		{"the clone does not end", plan.Request{Verb: plan.ApplyDocuments}, 3 * time.Hour, fault.Failed, "STEP-CLONE-LATE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newFreeLab(t, slowly(func(timings *pvesim.Timings) { timings.CloneFullMin = pvesim.Duration(tt.takes) }))
				ctx := context.Background()
				_, err := l.root().Clone(ctx, "pve1", 9000, pve.CloneOptions{NewID: 9150, Name: "plain-1", Full: true})
				l.must(err)
				e := l.engine("ops@desk", onlyGPU1AndPlain(), nil)
				plans, err := e.ask(ctx, tt.request)
				l.must(err)
				applied, err := e.Apply(ctx, plans, engine.ApplyOptions{})
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), "plain-1") || !strings.Contains(err.Error(), tt.says) || fault.FixOf(err) == "" {
					t.Errorf("the error does not report plain-1: %v", err)
				}
				outcomes := map[string]bool{}
				for _, o := range applied.Results[0].Outcomes {
					outcomes[o.Worker] = o.Err == nil
				}
				if made, told := outcomes["plain-1"]; len(outcomes) != 2 || made || !told || !outcomes["gpu-1"] {
					t.Errorf("outcomes: %v", applied.Results[0].Outcomes)
				}
			})
		})
	}
}
