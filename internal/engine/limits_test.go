package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	steps "github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestManyWorkersKeepTheLimits makes 30 workers on one host by full clones: two
// clones at a time on the storage, four workers at a time on the host; and counts
// what it asks of the API.
func TestManyWorkersKeepTheLimits(t *testing.T) {
	for _, n := range []int{1, 10, 30} {
		t.Run(fmt.Sprintf("%d workers", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(w *pvesim.World) {
					w.Hosts[0].MemoryGiB = 512
					w.Storages = slices.Clone(w.Storages)
					w.Storages[1].CapacityGiB = 5000
				})
				documents := edit("  replicas: 1", fmt.Sprintf("  hosts: [pve1]\n  replicas: %d", n))(duo)
				documents = edit("{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: Full}")(documents)
				e := l.engine("ops@desk", documents, nil)
				plans, err := e.Plan(context.Background(), engine.PlanOptions{})
				l.must(err)
				asked := len(l.sim.Requests())
				t.Logf("plan of nothing there: %d requests", asked)
				var watch limits
				_, err = e.Apply(context.Background(), plans, engine.ApplyOptions{Progress: watch.see})
				l.must(err)
				if watch.most > 4 {
					t.Errorf("%d workers of one host at once", watch.most)
				}
				if n > 4 && watch.most < 4 {
					t.Errorf("never more than %d workers at once", watch.most)
				}
				t.Logf("apply: %d requests in %s", len(l.sim.Requests())-asked, time.Since(watch.began))
				asked = len(l.sim.Requests())
				l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
				t.Logf("apply that changes nothing: %d requests", len(l.sim.Requests())-asked)
				l.whole()
				if together := l.clonesTogether(); together > 2 {
					t.Errorf("%d full clones at once on one storage", together)
				}
			})
		})
	}
}

// limits watches how many workers are at work at once: one that waits for its
// guest is not.
type limits struct {
	mu    sync.Mutex
	began time.Time
	busy  map[string]bool
	most  int
}

func (w *limits) see(e steps.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy == nil {
		w.busy, w.began = map[string]bool{}, time.Now()
	}
	switch {
	case e.Step == plan.StepStart && e.Phase == steps.Done, e.Step == plan.StepAgent:
		delete(w.busy, e.Worker)
	case e.Phase == steps.Began:
		w.busy[e.Worker] = true
	}
	w.most = max(w.most, len(w.busy))
}

// clonesTogether is the largest number of clone tasks that ran at once.
func (l *lab) clonesTogether() int {
	l.t.Helper()
	tasks, err := l.root().Tasks(context.Background(), "pve1", pve.TaskFilter{Source: "all", Type: "qmclone", Limit: 500})
	l.must(err)
	if len(tasks) == 0 {
		l.t.Error("no clone is listed")
	}
	most := 0
	for _, at := range tasks {
		n := 0
		for _, other := range tasks {
			if other.StartTime <= at.StartTime && at.StartTime < other.EndTime {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}
