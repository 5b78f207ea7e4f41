package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	steps "github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// waitingScene is a request that is cut off while it waits.
type waitingScene struct {
	name, made, documents string
	request               plan.Request
	workers               []string
}

func waitingScenes() []waitingScene {
	two := onlyGPU1AndPlain()
	return []waitingScene{
		{"apply", "", two, plan.Request{Verb: plan.ApplyDocuments}, []string{"gpu-1", "plain-1"}},
		{"replace", two, two, plan.Request{Verb: plan.ReplaceWorkers, Workers: []string{"gpu-1"}}, []string{"gpu-1", "plain-1"}},
		{"delete", two, two, plan.Request{Verb: plan.DeleteWorkers, Workers: []string{"gpu-1"}}, []string{"plain-1"}},
		{"park", two, two, plan.Request{Verb: plan.ParkWorkers, Workers: []string{"gpu-1"}}, []string{"gpu-1", "plain-1"}},
	}
}

// TestKilledBetweenAWaitAndTheNextCall kills the process at each Wait of a step, so that
// no request is under way and its handles are lost. The command is run again at once,
// or when all tasks have long ended.
func TestKilledBetweenAWaitAndTheNextCall(t *testing.T) {
	for _, s := range waitingScenes() {
		for _, pause := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("%s, after %s", s.name, pause), func(t *testing.T) {
				t.Parallel()
				points := 0
				for at, cut := 1, true; cut && !t.Failed(); at += thorough.Every {
					synctest.Test(t, func(t *testing.T) {
						if cut = s.cutAt(t, at, pause); cut {
							points++
						}
						if t.Failed() {
							t.Logf("cut at wait %d", at)
						}
					})
				}
				t.Logf("%d waits", points)
			})
		}
	}
}

// cutAt kills the process at its n-th Wait, waits, and runs the command again. It
// reports whether there was such a Wait.
func (s waitingScene) cutAt(t *testing.T, n int, pause time.Duration) bool {
	l := newLab(t, oneHost)
	if s.made != "" {
		l = newLab(t, made(t, s.made))
	}
	l.allow(s.request.Workers...)
	dying, kill := context.WithCancel(context.Background())
	defer kill()
	wire := &cutter{next: l.sim.Transport(), kill: kill}
	e := l.engine("ops@desk", s.documents, wire)
	plans, err := e.ask(dying, s.request)
	l.must(err)
	waits := 0
	_, err = e.Apply(dying, plans, engine.ApplyOptions{Progress: func(event steps.Event) {
		if event.Phase != steps.Working {
			return
		}
		if waits++; waits == n {
			wire.die()
		}
	}})
	if waits < n {
		l.must(err)
	} else {
		time.Sleep(pause)
		e := l.engine("colleague@desk", s.documents, nil)
		plans, err := e.ask(context.Background(), s.request)
		l.must(err)
		_, err = e.Apply(context.Background(), plans, engine.ApplyOptions{})
		l.must(err)
	}
	l.whole()
	l.only(s.workers...)
	return waits >= n
}
