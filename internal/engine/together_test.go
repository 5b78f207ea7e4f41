package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// TestTwoEnginesAtTheSameWorker lets two engines with one file work on the same worker
// at once, in all combinations of commands that disturb each other. No invariant may
// break; the error of the loser must say that somebody else worked on the worker; and
// the same command again must end as declared, without duplicates.
func TestTwoEnginesAtTheSameWorker(t *testing.T) {
	small := onlyGPU1AndPlain()
	tests := []struct {
		name      string
		made      bool
		red, blue command
		seeds     int
	}{
		{"both apply", false, apply, apply, 100},
		{"both replace", true, replace("gpu-1"), replace("gpu-1"), 40},
		{"one deletes, one applies", true, remove("gpu-1"), apply, 40},
		{"one replaces, one deletes", true, replace("gpu-1"), remove("gpu-1"), 40},
		{"one parks, one replaces", true, park("gpu-1"), replace("gpu-1"), 20},
		{"both delete", true, remove("gpu-1"), remove("gpu-1"), 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ends := map[string]int{}
			for seed := range thorough.Of(tt.seeds) {
				synctest.Test(t, func(t *testing.T) {
					before := oneHost
					if tt.made {
						before = made(t, small)
					}
					l := newLab(t, before)
					l.allow("gpu-1")
					errs := l.together(uint64(seed), small, tt.red, tt.blue)
					ends[l.judgeErrors(errs)]++
					l.whole()
					l.converges(small, "gpu-1", "plain-1")
				})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Logf("%d seeds: %v", thorough.Of(tt.seeds), ends)
		})
	}
}

func onlyGPU1AndPlain() string {
	return strings.Replace(fleet, "    - {model: Tesla T4, hosts: [pve2]}\n", "", 1)
}

// together runs two commands at once, with one file and networks of random speed.
func (l *lab) together(seed uint64, documents string, red, blue command) []error {
	errs := make([]error, 2)
	var group sync.WaitGroup
	for i, run := range []command{red, blue} {
		wire := &jitter{next: l.sim.Transport(), random: rand.New(rand.NewPCG(seed, uint64(i)))}
		e := l.engine(fmt.Sprintf("person%d@desk", i+1), documents, wire)
		group.Go(func() { errs[i] = run(context.Background(), e) })
	}
	group.Wait()
	return errs
}

// judgeErrors returns the result of a race, and fails the test when the error of a
// loser has no fix.
func (l *lab) judgeErrors(errs []error) string {
	l.t.Helper()
	var kinds []string
	for _, err := range errs {
		if err == nil {
			kinds = append(kinds, "well")
			continue
		}
		kinds = append(kinds, string(fault.KindOf(err)))
		if fault.Is(err, fault.Unknown) || fault.FixOf(err) == "" {
			l.t.Errorf("an error without a kind or a fix: %s %v", fault.KindOf(err), err)
		}
	}
	return strings.Join(kinds, "/")
}

// converges applies the file again, like a person who follows the fix, and fails the
// test unless the world is then as declared.
func (l *lab) converges(documents string, workers ...string) {
	l.t.Helper()
	ctx := context.Background()
	err := apply(ctx, l.engine("ops@desk", documents, nil))
	if err != nil {
		l.t.Errorf("run again: %v", err)
	}
	l.unparks(documents)
	l.whole()
	l.asDeclared(documents, workers...)
}

// unparks starts the worker again that a race has parked.
func (l *lab) unparks(documents string) {
	for _, vm := range l.sim.State().VMs {
		if r := recordOf(vm); r != nil && strings.Contains(vm.Config["tags"], "gpuworker-parked") {
			l.must(unpark(r.Worker)(context.Background(), l.engine("ops@desk", documents, nil)))
		}
	}
}
