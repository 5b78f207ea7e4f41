package engine_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/status"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestCommandsReadOnlyWhatTheyName counts the requests of commands for one worker, and
// of the list of hosts, on a large cluster: tens and hundreds, where the whole cluster
// would take thousands. With the race detector the cluster is smaller.
func TestCommandsReadOnlyWhatTheyName(t *testing.T) {
	size := pvesim.Fleet{Hosts: large.Hosts / thorough.Every, GPUs: large.GPUs, VMs: large.VMs}
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, size)
		documents := wanted(12)
		l.must(apply(t.Context(), l.engine("ops@desk", documents, nil)))
		asks := func(name string, most int, do func(testEngine) error) {
			t.Helper()
			wire := l.counter()
			l.must(do(l.engine("ops@desk", documents, wire)))
			vms, hosts, cluster := wire.asked()
			t.Logf("%s: %d of VMs, %d of hosts, %d of the cluster", name, vms, hosts, cluster)
			if asked := vms + hosts + cluster; asked > most {
				t.Errorf("%s asks %d times, want at most %d", name, asked, most)
			}
		}
		ctx := t.Context()
		asks("park", 60, func(e testEngine) error { return park("gpu-3")(ctx, e) })
		asks("unpark", 150, func(e testEngine) error { return unpark("gpu-3")(ctx, e) })
		asks("status of one", 80, func(e testEngine) error {
			rows, _, err := e.Engine.Status(ctx, e.documents, []string{"gpu-3"})
			if len(rows) != 1 || rows[0].State != status.Running {
				t.Errorf("it has the rows %+v", rows)
			}
			return err
		})
		asks("disown", 60, func(e testEngine) error { return disown("gpu-4")(ctx, e) })
		asks("delete", 60, func(e testEngine) error { return remove("gpu-3")(ctx, e) })
		asks("hosts", 4*size.Hosts, func(e testEngine) error {
			seen, err := e.Engine.Hosts(ctx, e.documents)
			if len(seen.Hypervisors) != 1 || len(seen.Hypervisors[0].Snapshot.Hosts) != size.Hosts || len(seen.Hypervisors[0].Snapshot.Claims) != 10 {
				t.Errorf("not all hosts and claims are there")
			}
			return err
		})
	})
}

// TestANarrowLookDecidesLikeAWholeOne makes the plan of each command by name from the
// part of the world that it observes, and from the whole world.
func TestANarrowLookDecidesLikeAWholeOne(t *testing.T) {
	two := onlyGPU1AndPlain()
	worlds := map[string]func(*lab){
		"as made":         func(*lab) {},
		"parked":          func(l *lab) { l.must(park("gpu-1")(context.Background(), l.engine("ops@desk", two, nil))) },
		"without a claim": func(l *lab) { l.must(l.root().DeleteMapping(context.Background(), "gpu-pve1-0000-03-00")) },
		"a host is off":   func(l *lab) { l.must(l.sim.SetHostOnline("pve1", false)) },
		"renamed": func(l *lab) {
			l.set("pve1", 9100, map[string]string{"name": "renamed"})
		},
		"a stranger has the card": func(l *lab) { l.plantOn("pve1", 500, map[string]string{"name": "theirs", "hostpci0": "0000:03:00.0"}) },
	}
	for name, change := range worlds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, made(t, two))
				change(l)
				for _, verb := range []plan.Verb{plan.ParkWorkers, plan.UnparkWorkers, plan.DeleteWorkers, plan.DisownWorkers} {
					for _, workers := range [][]string{{"gpu-1"}, {"plain-1"}, {"gpu-1", "plain-1"}, {"gpu-9", "gpu-1"}} {
						l.compareLooks(two, plan.Request{Verb: verb, Workers: workers})
					}
				}
				l.compareStatus(two, "gpu-1", "plain-1")
			})
		})
	}
}

// compareLooks compares the engine's plan with one from the whole world.
func (l *lab) compareLooks(documents string, request plan.Request) {
	l.t.Helper()
	e := l.engine("ops@desk", documents, nil)
	narrow, err := e.ask(context.Background(), request)
	seen, observeErr := e.Engine.Observe(context.Background(), e.documents)
	l.must(observeErr)
	whole, wholeErr := planner.Make(inputOf(e, seen, request))
	if (err == nil) != (wholeErr == nil) {
		l.t.Fatalf("%s %v: %v, from the whole world %v", request.Verb, request.Workers, err, wholeErr)
	}
	if err != nil {
		return
	}
	if same, differences := plan.Same(narrow.Plans[0], whole); !same {
		l.t.Errorf("%s %v: a narrow look decides differently: %v", request.Verb, request.Workers, differences)
	}
	if len(narrow.Plans[0].Absent) != len(whole.Absent) {
		l.t.Errorf("%s %v: absent are %v, from the whole world %v", request.Verb, request.Workers, narrow.Plans[0].Absent, whole.Absent)
	}
}

func (l *lab) compareStatus(documents string, names ...string) {
	l.t.Helper()
	e := l.engine("ops@desk", documents, nil)
	all, _, err := e.Engine.Status(context.Background(), e.documents, nil)
	l.must(err)
	for _, name := range names {
		rows, _, err := e.Engine.Status(context.Background(), e.documents, []string{name})
		l.must(err)
		at := slices.IndexFunc(all, func(r status.Row) bool { return r.Worker == name })
		if (at < 0) != (len(rows) == 0) || at >= 0 && (rows[0].State != all[at].State || rows[0].Note != all[at].Note || rows[0].Next != all[at].Next) {
			l.t.Errorf("status of %s alone is %+v, of all %+v", name, rows, all)
		}
	}
}

func inputOf(e testEngine, seen engine.Observed, request plan.Request) planner.Input {
	in := planner.Input{Hypervisor: &e.documents.Hypervisors[0], Snapshot: seen.Hypervisors[0].Snapshot, Request: request}
	for _, kubeCluster := range e.documents.KubeClusters {
		in.KubeClusters = append(in.KubeClusters, kubeCluster.Name)
	}
	for _, pool := range e.documents.PoolsOn("lab") {
		in.Pools = append(in.Pools, *pool)
	}
	return in
}

// set changes a VM's configuration by hand.
func (l *lab) set(host string, vmid int, options map[string]string) {
	l.t.Helper()
	l.must(l.root().UpdateConfig(context.Background(), host, vmid, pve.ConfigUpdate{Set: options}))
}
