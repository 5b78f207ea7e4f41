package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// scene is a world, the changes before a command, and the command.
type scene struct {
	name      string
	world     func(*pvesim.World)
	made      string     // documents that were applied before
	prepare   func(*lab) // what else was done before
	documents string     // of the command
	run       command
	named     string   // the worker that the command may destroy
	workers   []string // that are there in the end, and no others
	wide      bool     // on two hosts instead of one
	end       func(*lab)
}

// set makes the world of the scene and the changes before the command.
func (s scene) set(t *testing.T) *lab {
	t.Helper()
	var changes []func(*pvesim.World)
	switch {
	case s.made != "":
		changes = append(changes, made(t, s.made))
	case s.wide:
		changes = append(changes, noThirdHost)
	default:
		changes = append(changes, oneHost)
	}
	if s.world != nil {
		changes = append(changes, s.world)
	}
	l := newLab(t, changes...)
	if s.prepare != nil {
		s.prepare(l)
	}
	l.allow(s.named)
	return l
}

// killed runs the scene's command until it is killed at the given call. It reports
// whether the call was reached; if not, the command has finished.
func (l *lab) killed(s scene, by string, at int, late bool) bool {
	l.t.Helper()
	dying, kill := context.WithCancel(context.Background())
	defer kill()
	wire := &cutter{next: l.sim.Transport(), at: at, late: late, kill: kill}
	err := s.run(dying, l.engine(by, s.documents, wire))
	if !wire.dead && err != nil && !fault.Is(err, fault.NotFound) {
		l.t.Errorf("it was not killed: %v", err)
	}
	return wire.dead
}

// again runs the scene's command again; the world must then be as declared.
func (l *lab) again(s scene, by string) {
	l.t.Helper()
	if err := s.run(context.Background(), l.engine(by, s.documents, nil)); err != nil && !fault.Is(err, fault.NotFound) {
		l.t.Errorf("run again: %v", err)
	}
}

func (l *lab) settledAs(s scene) {
	l.t.Helper()
	l.whole()
	l.only(s.workers...)
	if s.end != nil {
		s.end(l)
	}
}

func restart(ctx context.Context, e testEngine) error {
	plans, err := e.Plan(ctx, planOptions{AllowRestart: true})
	if err == nil {
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
	}
	return err
}

func adopt(vmid int, worker string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.PlanAdopt(ctx, strconv.Itoa(vmid), worker)
		if fault.Is(err, fault.Refused) && strings.Contains(err.Error(), "ours already") {
			return nil // the second time
		}
		if err == nil {
			_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		}
		return err
	}
}

// solo is one GPU worker, duo two plain ones.
var (
	solo = onlyPool(strings.Replace(fleet, "    - {model: Tesla T4, hosts: [pve2]}\n", "", 1))
	duo  = header + fleet[strings.LastIndex(fleet, "\napiVersion"):]
)

func plainWorkers(n int) string { return edit("replicas: 1", fmt.Sprintf("replicas: %d", n))(duo) }

// scenes are the commands that TestKilledAtAnyCall does not cover.
func scenes() []scene {
	fullClones := edit("{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: Full}")
	long := func(w *pvesim.World) {
		timings := pvesim.DefaultTimings()
		timings.CloneFullMin = pvesim.Duration(40 * time.Second)
		w.Timings = &timings
	}
	return []scene{
		{
			name: "park", made: solo, documents: solo, run: park("gpu-1"), workers: []string{"gpu-1"},
			end: func(l *lab) { l.isParked("gpu-1", true) },
		},
		{
			name: "unpark", made: solo, prepare: func(l *lab) { l.must(park("gpu-1")(context.Background(), l.engine("ops@desk", solo, nil))) },
			documents: solo, run: unpark("gpu-1"), workers: []string{"gpu-1"},
			end: func(l *lab) { l.isParked("gpu-1", false) },
		},
		{
			name: "adopt a VM with a card", prepare: func(l *lab) { l.theirWorker(500) },
			documents: solo, run: adopt(500, "gpu-1"), workers: []string{"gpu-1"},
		},
		{
			name: "disown a worker with a card", made: solo, prepare: func(l *lab) { l.disowned = "gpu-1" },
			documents: solo, run: disown("gpu-1"), end: func(l *lab) { l.isDisowned("gpu-1") },
		},
		{
			name: "disown an adopted worker", documents: solo, run: disown("gpu-1"), end: func(l *lab) { l.isDisowned("gpu-1") },
			prepare: func(l *lab) {
				l.theirWorker(500)
				l.must(adopt(500, "gpu-1")(context.Background(), l.engine("ops@desk", solo, nil)))
				l.disowned = "gpu-1"
			},
		},
		{
			name: "fewer plain workers", made: plainWorkers(2), documents: plainWorkers(1), run: apply, workers: []string{"plain-1"},
		},
		{
			name: "more memory, with a restart", made: solo, documents: edit("memory: 8Gi", "memory: 16Gi")(solo), run: restart,
			workers: []string{"gpu-1"},
			end: func(l *lab) {
				if vm := l.sim.State().VMs[l.vmid("gpu-1")]; vm.Config["memory"] != "16384" {
					l.t.Errorf("memory is %s", vm.Config["memory"])
				}
			},
		},
		{
			name: "a full clone that takes long, with a card", world: long,
			documents: fullClones(solo), run: apply, workers: []string{"gpu-1"},
		},
		{
			name: "a plain full clone that takes long", world: long,
			documents: fullClones(duo), run: apply, workers: []string{"plain-1"},
		},
		{
			name: "replace a plain worker", made: duo, documents: duo, run: replace("plain-1"), workers: []string{"plain-1"},
		},
	}
}

// TestKilledAtAnyCallOfTheOtherCommands is TestKilledAtAnyCall for all other commands
// that change something. Another person runs the command again, at once.
func TestKilledAtAnyCallOfTheOtherCommands(t *testing.T) {
	for _, s := range scenes() {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %v", s.name, late), func(t *testing.T) {
				t.Parallel()
				points := 0
				for at, cut := 1, true; cut && !t.Failed(); at += thorough.Every {
					synctest.Test(t, func(t *testing.T) {
						l := s.set(t)
						if cut = l.killed(s, "ops@desk", at, late); cut {
							points++
							l.again(s, "colleague@desk")
						}
						l.settledAs(s)
						if t.Failed() {
							t.Logf("killed at call %d", at)
						}
					})
				}
				t.Logf("%d cut points", points)
			})
		}
	}
}

// TestKilledTwice kills the second run too, at random calls.
func TestKilledTwice(t *testing.T) {
	all := append(scenes(),
		scene{name: "apply", documents: fleet, wide: true, run: apply, workers: []string{"gpu-1", "gpu-2", "plain-1"}},
		scene{name: "replace", made: solo, documents: solo, run: replace("gpu-1"), named: "gpu-1", workers: []string{"gpu-1"}},
		scene{name: "delete", made: solo, documents: solo, run: remove("gpu-1"), named: "gpu-1"},
	)
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for seed := range thorough.Of(25) {
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(uint64(seed), 7))
					l := s.set(t)
					for range 2 {
						l.killed(s, "ops@desk", 1+random.IntN(70), random.IntN(2) == 0)
						time.Sleep(time.Duration(random.IntN(3)) * time.Second)
					}
					l.again(s, "ops@desk")
					l.settledAs(s)
				})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// TestKilledAndThenAnotherFile kills an apply at each call; then another file is
// applied, which declares fewer and other workers, and then the first one again.
func TestKilledAndThenAnotherFile(t *testing.T) {
	t.Parallel()
	first := scene{documents: onlyPool(fleet), run: apply}
	other := scene{
		documents: edit("    - {host: pve1, bdf: \"0000:03:00.0\"}\n", "")(edit("memory: 8Gi", "memory: 4Gi")(onlyPool(fleet))),
		run:       apply,
	}
	for at, cut := 1, true; cut && !t.Failed(); at += thorough.Every {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, noThirdHost)
			cut = l.killed(first, "ops@desk", at, at%2 == 0)
			err := apply(context.Background(), l.engine("eve@desk", other.documents, nil))
			if fault.Is(err, fault.Conflict) { // the last request of the dead engine was not done yet
				err = apply(context.Background(), l.engine("eve@desk", other.documents, nil))
			}
			if err != nil {
				t.Errorf("the other file: %v", err)
			}
			l.must(restart(context.Background(), l.engine("ops@desk", first.documents, nil)))
			l.whole()
			l.only("gpu-1", "gpu-2")
			if t.Failed() {
				t.Logf("killed at call %d", at)
			}
		})
	}
}

func (l *lab) isParked(worker string, want bool) {
	l.t.Helper()
	vm := l.sim.State().VMs[l.vmid(worker)]
	if tagged := strings.Contains(vm.Config["tags"], "gpuworker-parked"); tagged != want || vm.Running == want {
		l.t.Errorf("%s: parked tag %v, running %v", worker, tagged, vm.Running)
	}
}

// theirWorker makes a running VM with the card of solo by hand.
func (l *lab) theirWorker(vmid int) {
	l.t.Helper()
	ctx, root := context.Background(), l.root()
	l.plantOn("pve1", vmid, map[string]string{
		"name": "trainer", "memory": "8192", "machine": "q35", "hostpci0": "0000:03:00.0,pcie=1", "tags": "lab", "description": "made by hand",
	})
	l.await(root.Start(ctx, "pve1", vmid, 0))
}
