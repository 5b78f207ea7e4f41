package apply

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// starting is a plan with a worker whose VM runs, and whose guest is waited for.
func starting() *plan.Plan {
	p := parking("gpu-1")
	p.Pools[0].Workers[0].Action = plan.Unpark
	p.Pools[0].Workers[0].Ref.UUID = "u-1"
	p.Pools[0].Workers[0].Steps = []plan.StepKind{plan.StepPark, plan.StepAgent}
	return p
}

// TestTheGuestIsWaitedForAsLongAsAsked: a guest agent that never answers, each call takes
// three seconds, the next one is made five seconds later.
func TestTheGuestIsWaitedForAsLongAsAsked(t *testing.T) {
	wait := func(d time.Duration) *time.Duration { return &d }
	for name, tt := range map[string]struct {
		wait  *time.Duration
		took  time.Duration // the last call begins when the time is over
		calls int
		warns string
	}{
		"five minutes": {nil, 5*time.Minute + 3*time.Second, 39, "gpu-1, VM 7 on h1: agent: still waiting for the guest agent after 5m0s (STEP-AGENT-LATE)"},
		"a minute":     {wait(time.Minute), 63 * time.Second, 9, "gpu-1, VM 7 on h1: agent: still waiting for the guest agent after 1m0s (STEP-AGENT-LATE)"},
		"one second":   {wait(time.Second), 3 * time.Second, 1, "gpu-1, VM 7 on h1: agent: still waiting for the guest agent after 1s (STEP-AGENT-LATE)"},
		"not at all":   {wait(0), 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{agent: func(int) ([]string, *hypervisor.Wait, error) {
					time.Sleep(3 * time.Second)
					return nil, &hypervisor.Wait{For: "the guest agent", CallAfter: 5 * time.Second}, nil
				}}
				p := starting()
				result, took := run(t, s, p, Options{AddressWait: tt.wait})
				o := result.Outcomes[0]
				if o.Err != nil || took != tt.took || s.calls != tt.calls || o.UUID != "u-1" {
					t.Errorf("%d calls in %s, want %d in %s: %+v", s.calls, took, tt.calls, tt.took, o)
				}
				if said := len(o.Warnings) > 0; said != (tt.warns != "") || said && (o.Warnings[0].Text != tt.warns || o.Warnings[0].Fix == "") {
					t.Errorf("it warns %q, want %q", o.Warnings, tt.warns)
				}
				if steps := p.Pools[0].Workers[0].Steps; len(steps) != 2 {
					t.Errorf("the plan was changed, it has the steps %q", steps)
				}
			})
		})
	}
}

// deaf is a hypervisor whose answers about a guest agent never come.
type deaf struct{ script }

func (*deaf) Agent(ctx context.Context, _ inventory.VMRef, _ hypervisor.Handle) ([]string, *hypervisor.Wait, error) {
	<-ctx.Done()
	return nil, nil, &fault.Error{Kind: fault.Unavailable, Cause: ctx.Err()}
}

// TestAHostThatDoesNotAnswerDoesNotMakeTheWaitLonger than the last question may take.
func TestAHostThatDoesNotAnswerDoesNotMakeTheWaitLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait, began := 10*time.Second, time.Now()
		result := Run(t.Context(), &deaf{}, starting(), Options{AddressWait: &wait})
		if took := time.Since(began); took > wait+lastCall || len(result.Outcomes[0].Warnings) != 1 {
			t.Errorf("%+v after %s", result.Outcomes[0], took)
		}
	})
}
