package engine_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestManyWorkersKeepTheLimits makes 30 workers on one host by full clones: at most two
// clones at a time on the storage and four starts at a time on the host. It also
// counts the requests.
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
				plans, err := e.Plan(context.Background(), planOptions{})
				l.must(err)
				asked := len(l.sim.Requests())
				t.Logf("plan of nothing there: %d requests", asked)
				began := time.Now()
				_, err = e.Apply(context.Background(), plans, engine.ApplyOptions{})
				l.must(err)
				t.Logf("apply: %d requests in %s", len(l.sim.Requests())-asked, time.Since(began))
				asked = len(l.sim.Requests())
				l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
				t.Logf("apply that changes nothing: %d requests", len(l.sim.Requests())-asked)
				l.whole()
				if together := l.atOnce("qmclone"); together > 2 || n > 2 && together < 2 {
					t.Errorf("%d full clones at once on one storage", together)
				}
				if together := l.atOnce("qmstart"); together > 4 {
					t.Errorf("%d starts at once on one host", together)
				}
			})
		})
	}
}

// atOnce is the largest number of tasks of a kind that ran at once on pve1.
func (l *lab) atOnce(kind string) int {
	l.t.Helper()
	tasks, err := l.root().Tasks(context.Background(), "pve1", pve.TaskFilter{Source: "all", Type: kind, Limit: 500})
	l.must(err)
	if len(tasks) == 0 {
		l.t.Errorf("no %s is listed", kind)
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
