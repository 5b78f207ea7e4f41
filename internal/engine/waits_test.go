package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestATombstoneOfADeadEngineIsWaitedFor leaves a register with "releasing" that its
// author does not remove. The next apply waits a minute and goes on.
func TestATombstoneOfADeadEngineIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(l.root().CreateMapping(context.Background(), pve.MappingSpec{
			ID: "gpu-pve1-0000-03-00", Map: []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8,subsystem-id=10de:12a2,iommugroup=14"},
			Description: "gpuworker: worker=x-1 pool=x cluster=rke2 lifecycle=SemiPersistent vmid=9150 uuid=1 host=pve1 card=0000%3A03%3A00 by=eve made releasing",
		}))
		began := time.Now()
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		if took := time.Since(began); took < time.Minute {
			t.Errorf("it took %s; its author may have been about to remove it", took)
		}
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

// TestATombstoneThatGoesAwayIsNotWaitedForLonger: usually its author removes it.
func TestATombstoneThatGoesAwayIsNotWaitedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(l.root().CreateMapping(context.Background(), pve.MappingSpec{
			ID: "gpu-pve1-0000-03-00", Map: []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8,subsystem-id=10de:12a2,iommugroup=14"},
			Description: "gpuworker: worker=x-1 pool=x cluster=rke2 lifecycle=SemiPersistent vmid=9150 uuid=1 host=pve1 card=0000%3A03%3A00 by=eve made releasing",
		}))
		gone := time.AfterFunc(8*time.Second, func() { _ = l.root().DeleteMapping(context.Background(), "gpu-pve1-0000-03-00") })
		defer gone.Stop()
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

// TestALockThatGoesAwayIsWaitedFor locks the VM's file for a while at each step,
// as a backup does when it begins.
func TestALockThatGoesAwayIsWaitedFor(t *testing.T) {
	for _, path := range []string{"/config$", "/status/start$", "/resize$"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.must(l.sim.Inject(pvesim.Fault{Method: "", Path: "/qemu/9100" + path, Effect: pvesim.LockHeld, Times: 2}))
				l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
				l.whole()
				l.asDeclared(solo, "gpu-1")
			})
		})
	}
}

// TestALostAnswerToAShutdownDoesNotPowerOff: a guest gets its time for the shutdown,
// even when the answer to the request is lost.
func TestALostAnswerToAShutdownDoesNotPowerOff(t *testing.T) {
	for _, effect := range []pvesim.Effect{pvesim.DropAfter, pvesim.DropBefore, pvesim.HalfJSON} {
		t.Run(string(effect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.Shutdown = pvesim.Duration(90 * time.Second) }))
				l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
				l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/shutdown$", Effect: effect}))
				l.must(park("gpu-1")(context.Background(), l.engine("ops@desk", solo, nil)))
				for _, r := range l.sim.Requests() {
					if strings.HasSuffix(r.Path, "/status/stop") {
						t.Errorf("the VM was powered off %s", r.Time)
					}
				}
				l.whole()
				l.isParked("gpu-1", true)
			})
		})
	}
}

// TestAHostThatIsSilentDuringACloneGetsNoSecondOne disconnects the host for five minutes
// while a clone runs there; there must be one VM in the end.
func TestAHostThatIsSilentDuringACloneGetsNoSecondOne(t *testing.T) {
	for name, documents := range map[string]string{"with a card": solo, "plain": edit("  replicas: 1", "  hosts: [pve1]\n  replicas: 1")(duo)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.CloneFullMin = pvesim.Duration(12 * time.Minute) }))
				time.AfterFunc(time.Minute, func() { _ = l.sim.SetHostOnline("pve1", false) })
				time.AfterFunc(6*time.Minute, func() { _ = l.sim.SetHostOnline("pve1", true) })
				documents := edit("{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: Full}")(documents)
				l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
				clones := 0
				for _, r := range l.sim.Requests() {
					if strings.HasSuffix(r.Path, "/clone") {
						clones++
					}
				}
				if clones != 1 {
					t.Errorf("%d clones were asked for", clones)
				}
				l.whole()
			})
		})
	}
}

// TestALostAnswerToAStartIsWaitedFor: the start of a large GPU worker takes many
// minutes, and the answer to the request is lost.
func TestALostAnswerToAStartIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.StartPinGiB = pvesim.Duration(15 * time.Second) }))
		l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.DropAfter}))
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

func slowly(change func(*pvesim.Timings)) func(*pvesim.World) {
	return func(w *pvesim.World) {
		timings := pvesim.DefaultTimings()
		change(&timings)
		w.Timings = &timings
	}
}

// TestInterruptedInALongTask presses Ctrl-C while the VM starts: the error says
// what still runs, and the same command again converges.
func TestInterruptedInALongTask(t *testing.T) {
	for step, slow := range map[string]func(*pvesim.Timings){
		"start": func(timings *pvesim.Timings) { timings.StartPinGiB = pvesim.Duration(15 * time.Second) },
		"clone": func(timings *pvesim.Timings) { timings.CloneLinked = pvesim.Duration(30 * time.Minute) },
	} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, slowly(slow))
				ctx, interrupt := context.WithCancel(context.Background())
				time.AfterFunc(time.Minute, interrupt)
				began := time.Now()
				err := apply(ctx, l.engine("ops@desk", solo, nil))
				t.Logf("%v\nfix: %s", err, fault.FixOf(err))
				if !fault.Is(err, fault.Interrupted) || !strings.Contains(err.Error(), "UPID:") || !strings.Contains(err.Error(), "still run") {
					t.Errorf("the error does not say what still runs: %v", err)
				}
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("it ended %s after the start", took)
				}
				l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
				time.Sleep(time.Hour)
				l.whole()
				l.asDeclared(solo, "gpu-1")
			})
		})
	}
}
