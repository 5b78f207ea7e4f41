package app

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/thorough"
)

// worldsLike returns the names of the world files with a prefix, sorted.
func worldsLike(t *testing.T, begin string) []string {
	t.Helper()
	files, err := os.ReadDir(oldWorlds)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if name, yaml := strings.CutSuffix(file.Name(), ".yaml"); yaml && strings.HasPrefix(name, begin) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no world %s…", oldWorlds, begin)
	}
	return names
}

// inWorld runs a test in simulated time, on a cluster that an older program left.
func inWorld(t *testing.T, world, name string, test func(l *oldLab)) {
	t.Run(world+", "+name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := openOld(t, world)
			test(l)
			for _, text := range l.broken {
				t.Error(text)
			}
		})
	})
}

func TestAnOlderProgramsFinishedWorldsAreAsDeclared(t *testing.T) {
	for i, world := range []string{"complete", "parked", "apply-07-start", "replace-10-start"} {
		if i%thorough.Every > 1 {
			continue
		}
		inWorld(t, world, "nothing is to be done", func(l *oldLab) {
			if got := l.plan(); got != (planned{Keep: 4}) {
				l.t.Errorf("planned: %+v", got)
			}
			l.unwritten(0, "assert")
			l.unwritten(0, "status")
			l.unwritten(0, "apply --yes")
			if world == "parked" {
				l.only([]string{"gpu-1", "plain-1"}, allWorkers...)
				l.must("unpark gpu-1 plain-1 --yes")
			}
			l.only(nil, allWorkers...)
			l.kept(allWorkers...)
			l.live()
		})
	}
}

// way is a command that continues unfinished work on a cluster.
type way struct {
	world, by string
	command   func(l *oldLab)
}

// ways returns all clusters with unfinished work, with each command that continues it: the
// interrupted one, and apply.
func ways(t *testing.T) []way {
	t.Helper()
	repeated := map[string]func(*oldLab){
		"replace": func(l *oldLab) {
			l.must("replace gpu-1 plain-1 --yes")
			l.untouched("gpu-2", "plain-2")
		},
		"delete": func(l *oldLab) {
			l.must("delete gpu-1 plain-1 --yes")
			l.only(nil, "gpu-2", "plain-2")
			l.must("apply --yes")
			l.untouched("gpu-2", "plain-2")
		},
		"orphans": func(l *oldLab) {
			l.declareNoPools()
			l.must("orphans --release --yes")
			l.only(nil)
			l.declare()
			l.must("apply --yes")
		},
	}
	var all []way
	for _, verb := range []string{"apply", "replace", "delete", "orphans"} {
		for _, world := range worldsLike(t, verb+"-") {
			all = append(all, way{world, "apply", func(l *oldLab) {
				l.must("apply --yes")
				l.kept(workersOf(l.started)...)
			}})
			if command := repeated[verb]; command != nil {
				all = append(all, way{world, verb, command})
			}
		}
	}
	return all
}

// For any unfinished work, both commands lead to the declared state, and the workers can
// be changed afterwards.
func TestUnfinishedWorkOfAnOlderProgramIsContinued(t *testing.T) {
	for i, w := range ways(t) {
		if i%thorough.Every > 0 {
			continue
		}
		inWorld(t, w.world, w.by, func(l *oldLab) {
			got := l.plan()
			if got.Refused+got.Held > 0 || got.Destroy > l.madeAnew || got.Create+got.Start+got.Change+got.Restart+got.Keep != 4 {
				l.t.Errorf("planned: %+v", got)
			}
			w.command(l)
			l.only(nil, allWorkers...)
			l.unwritten(0, "assert")
			l.unwritten(0, "apply --yes")
			l.live()
		})
	}
}

// live parks, unparks, changes, replaces and deletes the workers.
func (l *oldLab) live() {
	l.t.Helper()
	made := l.sim.State()
	l.must("park gpu-1 plain-2 --yes")
	l.only([]string{"gpu-1", "plain-2"}, allWorkers...)
	l.unwritten(0, "apply --yes")
	l.must("unpark gpu-1 plain-2 --yes")
	l.only(nil, allWorkers...)

	more := []string{"memory: 8Gi", "memory: 12Gi", "memory: 2Gi", "memory: 3Gi"}
	l.declare(more...)
	l.must("apply --yes --allow-restart")
	l.has("memory", "12288", "3072")
	version := l.version()
	l.declare(append(more, "rack: r7", "rack: r8")...)
	l.must("apply --yes")
	l.only(nil, allWorkers...)
	l.labelled("r8")
	l.same(made, allWorkers...)
	l.unwritten(0, "assert")

	time.Sleep(2 * time.Hour) // --yes replaces no VM that a replace made within the hour
	l.must("replace gpu-1 plain-2 --yes")
	l.only(nil, allWorkers...)
	l.same(made, "gpu-2", "plain-1")
	l.replaced(made, "gpu-1", "plain-2")
	if now := l.version(); now != version {
		l.t.Errorf("after a change the records were of version %s, new ones are of version %s", version, now)
	}

	l.must("delete gpu-1 gpu-2 plain-1 plain-2 --yes")
	l.only(nil)
	if left := l.sim.State().Mappings[register2]; left.Description != byAPerson {
		l.t.Errorf("the person's mapping says %q now", left.Description)
	}
}
