package apply

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// script is a hypervisor on which workers can be parked, stopped and asked for their
// agent; a test scripts the answers.
type script struct {
	hypervisor.Backend // everything else panics

	mu    sync.Mutex
	calls int
	stop  func(ctx context.Context, worker string, call int, handle hypervisor.Handle) (*hypervisor.Wait, error)
	agent func(call int) ([]string, *hypervisor.Wait, error)
}

func (s *script) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.calls
}

func (s *script) SetParked(context.Context, inventory.VMRef, bool, hypervisor.Handle) (*hypervisor.Wait, error) {
	return nil, nil
}

func (s *script) Stop(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	return s.stop(ctx, ref.Name, s.next(), handle)
}

func (s *script) Agent(context.Context, inventory.VMRef, hypervisor.Handle) ([]string, *hypervisor.Wait, error) {
	return s.agent(s.next())
}

// parking is a plan that parks workers.
func parking(names ...string) *plan.Plan {
	p := &plan.Plan{Hypervisor: "lab", Pools: []plan.Pool{{Name: "gpu"}}}
	for _, name := range names {
		p.Pools[0].Workers = append(p.Pools[0].Workers, plan.Worker{
			Name: name, Action: plan.Park, Host: "h1", VM: "7", Ref: &inventory.VMRef{Host: "h1", ID: "7", Name: name},
			Steps: []plan.StepKind{plan.StepPark, plan.StepShutdown},
		})
	}
	return p
}

func busy(kind fault.Kind) error { return &fault.Error{Kind: kind, Why: "not now"} }

// run carries out the plan and returns how long it took.
func run(t *testing.T, s *script, p *plan.Plan, options Options) (Result, time.Duration) {
	t.Helper()
	began := time.Now()
	result := Run(t.Context(), s, p, options)
	return result, time.Since(began)
}

func TestEachStepHasADeadlineAndAFindingForIt(t *testing.T) {
	for _, kind := range []plan.StepKind{
		plan.StepSettle, plan.StepClaim, plan.StepClone, plan.StepConfigure, plan.StepAttach, plan.StepStart, plan.StepAgent,
		plan.StepUnpark, plan.StepPark, plan.StepAdopt, plan.StepDisown, plan.StepShutdown, plan.StepUnprotect, plan.StepDestroy,
		plan.StepRelease, plan.StepReplaced, plan.StepSeed, plan.StepDeliver, plan.StepBootstrap, plan.StepOrders, plan.StepExchange,
		plan.StepRecord, plan.StepUnseed,
	} {
		step, known := Steps[kind]
		if _, explained := finding.Explain(step.Late); !known || step.Deadline <= 0 || step.Domain == "" || !explained {
			t.Errorf("step %s has the row %+v", kind, step)
		}
	}
}

func TestAStepIsCalledUntilItIsDoneWithTheHandleOfItsLastWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handles []hypervisor.Handle
		s := &script{stop: func(_ context.Context, _ string, call int, handle hypervisor.Handle) (*hypervisor.Wait, error) {
			handles = append(handles, handle)
			if call == 3 {
				return nil, nil
			}
			return &hypervisor.Wait{For: "the guest", CallAfter: 4 * time.Second, Handle: hypervisor.Handle([]byte{byte('a' + call)})}, nil
		}}
		result, took := run(t, s, parking("gpu-1"), Options{})
		if len(result.Failed()) > 0 || took != 8*time.Second || len(handles) != 3 || handles[0] != "" || handles[1] != "b" || handles[2] != "c" {
			t.Errorf("%+v in %s, handles %q", result, took, handles)
		}
	})
}

// TestTemporaryErrorsAreRetried tests the retry policy through Run.
func TestTemporaryErrorsAreRetried(t *testing.T) {
	underWay := &hypervisor.Wait{For: "the guest", CallAfter: time.Second, UnderWay: true, Handle: "task"}
	tests := []struct {
		name  string
		stop  func(call int) (*hypervisor.Wait, error)
		calls int
		fails bool
	}{
		{"busy, three times", func(call int) (*hypervisor.Wait, error) {
			if call < 4 {
				return nil, busy(fault.Busy)
			}
			return nil, nil
		}, 4, false},
		{"always busy", func(int) (*hypervisor.Wait, error) { return nil, busy(fault.Busy) }, 4, true},
		{"never an answer", func(int) (*hypervisor.Wait, error) { return nil, busy(fault.Unavailable) }, 4, true},
		{"denied", func(int) (*hypervisor.Wait, error) { return nil, busy(fault.Denied) }, 1, true},
		{"the host reboots while it works", func(call int) (*hypervisor.Wait, error) {
			switch {
			case call == 1:
				return underWay, nil
			case call < 60:
				return nil, busy(fault.Unavailable)
			}
			return nil, nil
		}, 60, false},
		{"the host is gone while it works", func(call int) (*hypervisor.Wait, error) {
			if call == 1 {
				return underWay, nil
			}
			return nil, busy(fault.Unavailable)
		}, 2 + int(silentLimit/silentPause) + 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{stop: func(_ context.Context, _ string, call int, _ hypervisor.Handle) (*hypervisor.Wait, error) {
					return tt.stop(call)
				}}
				result, took := run(t, s, parking("gpu-1"), Options{})
				if failed := len(result.Failed()) > 0; failed != tt.fails || s.calls < tt.calls-1 || s.calls > tt.calls+1 {
					t.Errorf("failed: %v after %d calls in %s: %v", failed, s.calls, took, result.Outcomes[0].Err)
				}
			})
		})
	}
}

func TestADeadlineNamesTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{stop: func(context.Context, string, int, hypervisor.Handle) (*hypervisor.Wait, error) {
			return &hypervisor.Wait{For: "the guest to shut down", CallAfter: time.Second, Task: "UPID:7"}, nil
		}}
		result, took := run(t, s, parking("gpu-1"), Options{})
		err := result.Outcomes[0].Err
		if err == nil || took != Steps[plan.StepShutdown].Deadline || fault.FixOf(err) == "" {
			t.Fatalf("%v after %s, fix %q", err, took, fault.FixOf(err))
		}
		for _, word := range []string{"gpu-1", "VM 7 on h1", "the guest to shut down", "UPID:7", string(finding.StepPowerLate)} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("the error does not say %q: %v", word, err)
			}
		}
	})
}

func TestAStepThatOnlyWarnsDoesNotStopTheWorker(t *testing.T) {
	for name, agent := range map[string]func(int) ([]string, *hypervisor.Wait, error){
		"late": func(int) ([]string, *hypervisor.Wait, error) {
			return nil, &hypervisor.Wait{For: "the guest agent", CallAfter: 5 * time.Second}, nil
		},
		"error": func(int) ([]string, *hypervisor.Wait, error) { return nil, nil, busy(fault.Denied) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{agent: agent, stop: func(context.Context, string, int, hypervisor.Handle) (*hypervisor.Wait, error) { return nil, nil }}
				p := parking("gpu-1")
				p.Pools[0].Workers[0].Steps = []plan.StepKind{plan.StepAgent, plan.StepShutdown}
				result, _ := run(t, s, p, Options{})
				if o := result.Outcomes[0]; o.Err != nil || len(o.Warnings) != 1 || s.calls < 2 {
					t.Errorf("%+v", o)
				}
			})
		})
	}
}

// TestWaitingHoldsNoPlace: of two workers, with a limit of one step at a time, one
// waits for ten minutes and the other one is done meanwhile.
func TestWaitingHoldsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		done := map[string]time.Duration{}
		var mu sync.Mutex
		s := &script{stop: func(_ context.Context, worker string, _ int, _ hypervisor.Handle) (*hypervisor.Wait, error) {
			if worker == "slow" && time.Since(began) < 10*time.Minute {
				return &hypervisor.Wait{For: "the guest", CallAfter: 10 * time.Second}, nil
			}
			mu.Lock()
			defer mu.Unlock()
			done[worker] = time.Since(began)
			return nil, nil
		}}
		run(t, s, parking("slow", "quick"), Options{Parallel: 1, PerHost: 1})
		if done["quick"] > time.Second || done["slow"] < 10*time.Minute {
			t.Errorf("done after %v", done)
		}
	})
}

// TestAWaitIsReportedAtLeastEveryTenSeconds: even when the hypervisor asks to be
// polled once a minute.
func TestAWaitIsReportedAtLeastEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, last, longest := time.Now(), time.Now(), time.Duration(0)
		s := &script{stop: func(context.Context, string, int, hypervisor.Handle) (*hypervisor.Wait, error) {
			if time.Since(began) > 5*time.Minute {
				return nil, nil
			}
			return &hypervisor.Wait{For: "the guest", Progress: "12 %", CallAfter: time.Minute}, nil
		}}
		run(t, s, parking("gpu-1"), Options{Progress: func(e Event) {
			longest, last = max(longest, time.Since(last)), time.Now()
			if e.Phase == Working && e.Detail != "the guest, 12 %" {
				t.Errorf("the detail is %q", e.Detail)
			}
		}})
		if longest > 10*time.Second {
			t.Errorf("no event for %s", longest)
		}
	})
}

// TestACallThatHangsIsCutOff: a call without an answer times out after 45 seconds, and
// the step is called again.
func TestACallThatHangsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{stop: func(ctx context.Context, _ string, call int, _ hypervisor.Handle) (*hypervisor.Wait, error) {
			if call > 1 {
				return nil, nil
			}
			<-ctx.Done()
			return nil, &fault.Error{Kind: fault.Unavailable, Cause: ctx.Err()}
		}}
		result, took := run(t, s, parking("gpu-1"), Options{})
		if len(result.Failed()) > 0 || took != callLimit+firstPause {
			t.Errorf("%v after %s", result.Outcomes[0].Err, took)
		}
	})
}

// TestAStepThatIsUndoneAllTheTimeIsPaced: a step that always asks to be called again
// at once gets a pause after some calls.
func TestAStepThatIsUndoneAllTheTimeIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{stop: func(context.Context, string, int, hypervisor.Handle) (*hypervisor.Wait, error) {
			return &hypervisor.Wait{}, nil
		}}
		result, took := run(t, s, parking("gpu-1"), Options{})
		if deadline := Steps[plan.StepShutdown].Deadline; len(result.Failed()) != 1 || s.calls > 20+int(deadline/time.Second) {
			t.Errorf("%d calls in %s: %v", s.calls, took, result.Outcomes[0].Err)
		}
	})
}

func TestAnInterruptedStepNamesTheWorkThatMayGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(15*time.Second, interrupt)
		s := &script{stop: func(ctx context.Context, _ string, _ int, _ hypervisor.Handle) (*hypervisor.Wait, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return &hypervisor.Wait{For: "the guest to shut down", CallAfter: 4 * time.Second, Task: "UPID:7", UnderWay: true}, nil
		}}
		result := Run(ctx, s, parking("gpu-1"), Options{})
		err := result.Outcomes[0].Err
		if !fault.Is(err, fault.Interrupted) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "UPID:7") {
			t.Errorf("%v", err)
		}
	})
}

// TestAnInterruptDuringACallNamesTheWorkOfThatCall: Ctrl-C comes while a request is
// under way, so it is not known whether it arrived.
func TestAnInterruptDuringACallNamesTheWorkOfThatCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		s := &script{stop: func(context.Context, string, int, hypervisor.Handle) (*hypervisor.Wait, error) {
			interrupt()
			return &hypervisor.Wait{For: "the guest to shut down", CallAfter: time.Second, UnderWay: true, Handle: "sent"}, nil
		}}
		err := Run(ctx, s, parking("gpu-1"), Options{}).Outcomes[0].Err
		if !fault.Is(err, fault.Interrupted) || !strings.Contains(err.Error(), "it was waiting for the guest to shut down, which may still run") {
			t.Errorf("%v", err)
		}
	})
}

// TestTheDeadlineBeginsWithTheWork: a queued step has not begun its work. It is not
// queued without a limit either.
func TestTheDeadlineBeginsWithTheWork(t *testing.T) {
	for name, tt := range map[string]struct {
		queued time.Duration // then the guest takes ten minutes, of fifteen that it has
		fails  bool
	}{
		"half an hour": {30 * time.Minute, false},
		"a week":       {7 * 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := &script{stop: func(context.Context, string, int, hypervisor.Handle) (*hypervisor.Wait, error) {
					switch age := time.Since(began); {
					case age < tt.queued:
						return &hypervisor.Wait{For: "room", CallAfter: time.Second, Queued: true}, nil
					case age < tt.queued+10*time.Minute:
						return &hypervisor.Wait{For: "the guest", CallAfter: time.Second, UnderWay: true}, nil
					}
					return nil, nil
				}}
				result, took := run(t, s, parking("gpu-1"), Options{})
				if failed := len(result.Failed()) > 0; failed != tt.fails || took > 26*time.Hour {
					t.Errorf("after %s: %v", took, result.Outcomes[0].Err)
				}
			})
		})
	}
}
