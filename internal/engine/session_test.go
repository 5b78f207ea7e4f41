package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// session is a session for the hypervisor of all documents here.
func (l *lab) session(transport http.RoundTripper) *engine.Session {
	l.t.Helper()
	e := l.engine("ops@desk", header+onePool("x", "replicas: 1"), transport)
	return e.NewSession(&e.documents.Hypervisors[0])
}

// onePool is the document of a pool, without a header.
func onePool(name, more string) string {
	return fmt.Sprintf(`
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: %s}
spec:
  hypervisor: lab
  template: {name: ubuntu-22.04}
  machine: {memory: 2Gi, cores: 2}
  %s
`, name, more)
}

func poolOf(t testing.TB, text string) *v1alpha1.WorkerPool {
	t.Helper()
	return &decode(t, header+text).WorkerPools[0]
}

func acceptAll(engine.Decision) error { return nil }

// TestPoolsThatAreDeclaredAtOnceShareOneObservation declares 64 pools, plans and applies
// them, ten at a time, as Terraform does.
func TestPoolsThatAreDeclaredAtOnceShareOneObservation(t *testing.T) {
	const pools = 64
	size := pvesim.Fleet{Hosts: 32, GPUs: 5, VMs: 8}
	text := func(n int) string {
		name := fmt.Sprintf("vm-%d", n)
		return onePool("of-"+name, "names: ["+name+"]\n  gpus: [{model: Tesla T4}]")
	}
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, size)
		planning, applying := l.counter(), l.counter()
		s := l.session(planning)
		tenAtATime(pools, func(n int) {
			d, err := s.Decide(t.Context(), poolOf(t, text(n)), false)
			if err != nil || len(d.Workers) != 1 || d.Workers[0].Action != plan.Create {
				t.Errorf("pool %d: %v, %d workers", n, err, len(d.Workers))
			}
		})
		s = l.session(applying)
		tenAtATime(pools, func(n int) {
			if _, err := s.Decide(t.Context(), poolOf(t, text(n)), false); err != nil {
				t.Errorf("pool %d: %v", n, err)
			}
			if _, outcomes, err := s.Apply(t.Context(), poolOf(t, text(n)), false, acceptAll, engine.ApplyOptions{}); err != nil || len(outcomes) != 1 {
				t.Errorf("pool %d: %v, %d outcomes", n, err, len(outcomes))
			}
		})
		tenAtATime(pools, func(n int) { // each has a host that was observed again, the others are merged from before
			d, err := s.Decide(t.Context(), poolOf(t, text(n)), false)
			if err != nil || len(d.Workers) != 1 || d.Workers[0].Action != plan.Keep {
				t.Errorf("pool %d is not as declared: %v, %+v", n, err, d.Workers)
			}
		})
		l.whole()
		var all strings.Builder
		for n := range pools {
			all.WriteString("---" + text(n))
		}
		l = fleetLab(t, size)
		command := l.counter()
		l.must(apply(t.Context(), l.engine("ops@desk", header+strings.TrimPrefix(all.String(), "---"), command)))
		t.Logf("plan: %d requests; apply: %d; one command for all pools: %d", planning.total(), applying.total(), command.total())
		if got := planning.total() + applying.total(); got > 2*command.total() {
			t.Errorf("%d requests are more than twice the %d of one command", got, command.total())
		}
	})
}

func tenAtATime(count int, do func(n int)) {
	free := make(chan bool, 10)
	var group sync.WaitGroup
	for n := range count {
		free <- true
		group.Go(func() { do(n); <-free })
	}
	group.Wait()
}

func (c *counter) total() int {
	sum := 0
	for _, times := range c.seen {
		sum += times
	}
	return sum
}

// TestTwoPoolsThatWantOneCard: the second one is refused, and the message names the first.
func TestTwoPoolsThatWantOneCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		s := l.session(nil)
		const card = "gpus: [{host: pve1, bdf: \"0000:03:00.0\"}]"
		if _, err := s.Decide(t.Context(), poolOf(t, onePool("first", card)), false); err != nil {
			t.Fatal(err)
		}
		_, err := s.Decide(t.Context(), poolOf(t, onePool("second", card)), false)
		var problems *engine.ProblemsError
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), "WorkerPool/first spec.gpus[0]") {
			t.Errorf("got %v", err)
		}
		s.Forget(engine.PoolKey{Pool: "first"})
		if _, err := s.Decide(t.Context(), poolOf(t, onePool("second", card)), false); err != nil {
			t.Errorf("after the first pool is gone: %v", err)
		}
	})
}

// TestARefusedDecisionChangesNothing: neither accept nor a decision from an old
// observation may lead to a change.
func TestARefusedDecisionChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		s := l.session(nil)
		before := l.sim.State()
		asked := 0
		pool := func() *v1alpha1.WorkerPool { return poolOf(t, onePool("w", "replicas: 1")) }
		if _, err := s.Decide(t.Context(), pool(), false); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Apply(t.Context(), pool(), false, func(engine.Decision) error { asked++; return errors.New("no") }, engine.ApplyOptions{})
		if err == nil || err.Error() != "no" || asked != 2 {
			t.Errorf("asked %d times, got %v; an older observation is made again", asked, err)
		}
		if after := l.sim.State(); fmt.Sprint(after.VMs) != fmt.Sprint(before.VMs) {
			t.Error("something was changed")
		}
	})
}

// TestASessionSeesItsOwnChanges: apply, look, apply again, delete.
func TestASessionSeesItsOwnChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.allow("gpu-1")
		s := l.session(nil)
		pool := func() *v1alpha1.WorkerPool {
			return poolOf(t, onePool("gpu", "gpus: [{host: pve1, bdf: \"0000:03:00.0\"}]"))
		}
		_, outcomes, err := s.Apply(t.Context(), pool(), false, acceptAll, engine.ApplyOptions{})
		if err != nil || len(outcomes) != 1 || outcomes[0].UUID == "" {
			t.Fatalf("%v %+v", err, outcomes)
		}
		d, err := s.Decide(t.Context(), pool(), false)
		if err != nil || len(d.Workers) != 1 || d.Workers[0].Action != plan.Keep || d.Workers[0].Ref.UUID != outcomes[0].UUID {
			t.Fatalf("%v, %s", err, d.Workers[0].Action)
		}
		if _, outcomes, err := s.Apply(t.Context(), pool(), false, acceptAll, engine.ApplyOptions{}); err != nil || len(outcomes) > 0 {
			t.Errorf("again: %v %+v", err, outcomes)
		}
		_, err = s.Work(t.Context(), plan.Request{Verb: plan.DeleteWorkers, Workers: []string{"gpu-1"}}, func(engine.Plans) error { return nil }, nil)
		l.must(err)
		snapshot, err := s.Observe(t.Context())
		l.must(err)
		if vm := snapshot.VM(outcomes[0].VM); vm != nil {
			t.Errorf("VM %s is still observed", vm.ID)
		}
		l.whole()
	})
}

// TestANewPoolGetsTheCardOfOneThatHasEnded, in the same session: the end of the first pool
// is observed before the second one is decided.
func TestANewPoolGetsTheCardOfOneThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		s := l.session(nil)
		const card = "gpus: [{host: pve1, bdf: \"0000:03:00.0\"}]"
		_, _, err := s.Apply(t.Context(), poolOf(t, onePool("first", card)), false, acceptAll, engine.ApplyOptions{})
		l.must(err)
		_, err = s.Decide(t.Context(), poolOf(t, onePool("first", card)), false)
		l.must(err)
		_, err = s.Work(t.Context(), plan.Request{Verb: plan.DeleteWorkers, Workers: []string{"first-1"}}, func(engine.Plans) error { return nil }, nil)
		l.must(err)
		s.Forget(engine.PoolKey{Pool: "first"})
		d, err := s.Decide(t.Context(), poolOf(t, onePool("second", card)), false)
		if err != nil || len(d.Workers) != 1 || d.Workers[0].Action != plan.Create {
			t.Errorf("%v %+v", err, d.Workers)
		}
	})
}

// TestAWorkerOfAHostThatIsOffIsHidden: a worker whose VM cannot be read is not gone.
func TestAWorkerOfAHostThatIsOffIsHidden(t *testing.T) {
	for pool, more := range map[string]string{"gpu": "gpus: [{host: pve1, bdf: \"0000:03:00.0\"}]", "plain": "replicas: 1\n  hosts: [pve1]"} {
		t.Run(pool, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				text, worker := onePool(pool, more), pool+"-1"
				_, outcomes, err := l.session(nil).Apply(t.Context(), poolOf(t, text), false, acceptAll, engine.ApplyOptions{})
				l.must(err)
				d, err := l.session(nil).Decide(t.Context(), poolOf(t, text), false)
				l.must(err)
				if d.Workers[0].VM == nil {
					t.Fatal("its VM is not seen")
				}
				l.must(l.sim.SetHostOnline("pve1", false))
				for _, id := range []string{outcomes[0].VM, ""} {
					d, err = l.session(nil).Decide(t.Context(), poolOf(t, text), false)
					l.must(err)
					if why := d.Hidden(worker, id); d.Workers[0].VM != nil || !strings.Contains(why, "its host pve1 does not answer") {
						t.Errorf("hidden: %q", why)
					}
					if why := d.Hidden("other", ""); why != "" {
						t.Errorf("another worker is hidden: %s", why)
					}
				}
			})
		})
	}
}

// TestAWorkerOnAnotherHostThanDecidedIsSeen: a session decides on a host, then another run
// makes the worker on another one.
func TestAWorkerOnAnotherHostThanDecidedIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, pvesim.Fleet{Hosts: 4, GPUs: 2, VMs: 2})
		s := l.session(nil)
		pool := func() *v1alpha1.WorkerPool { return poolOf(t, onePool("gpu", "gpus: [{model: Tesla T4}]")) }
		d, err := s.Decide(t.Context(), pool(), false)
		l.must(err)
		other := "h001"
		if d.Workers[0].Host == other {
			other = "h002"
		}
		l.must(apply(t.Context(), l.engine("ops@desk", header+onePool("gpu", "hosts: ["+other+"]\n  gpus: [{model: Tesla T4}]"), nil)))
		time.Sleep(time.Minute) // the observation of the session is too old to work from
		_, outcomes, err := s.Apply(t.Context(), pool(), false, func(d engine.Decision) error {
			if w := d.Workers[0]; w.Action != plan.Keep || w.Host != other {
				t.Errorf("decided %s on %s, the worker is on %s", w.Action, w.Host, other)
			}
			return nil
		}, engine.ApplyOptions{})
		if err != nil || len(outcomes) > 0 {
			t.Errorf("%v %+v", err, outcomes)
		}
	})
}

// TestACardThatIsAboutToBeClaimedIsNotGivenAway: while the work on one pool begins, another
// pool loses its card to a foreign run and needs the next one.
func TestACardThatIsAboutToBeClaimedIsNotGivenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, pvesim.Fleet{Hosts: 1, GPUs: 4, VMs: 2})
		s := l.session(nil)
		pool := func(name string) *v1alpha1.WorkerPool { return poolOf(t, onePool(name, "gpus: [{model: Tesla T4}]")) }
		first, err := s.Decide(t.Context(), pool("first"), false)
		l.must(err)
		_, _, err = s.Apply(t.Context(), pool("second"), false, func(second engine.Decision) error {
			l.must(apply(t.Context(), l.engine("ops@desk", header+onePool("foreign", "gpus: [{card: \""+first.Workers[0].Card.String()+"\"}]"), nil)))
			time.Sleep(time.Minute) // the observation of the session is too old to work from
			d, _, err := s.Apply(t.Context(), pool("first"), false, acceptAll, engine.ApplyOptions{})
			l.must(err)
			if d.Workers[0].Card == second.Workers[0].Card {
				t.Errorf("both pools get %s", d.Workers[0].Card)
			}
			return nil
		}, engine.ApplyOptions{})
		l.must(err)
		l.whole()
	})
}

// TestPoolsThatAreAppliedOneAfterTheOtherUseOtherIdentifiers: the second pool, which is
// planned before the first, is decided from the observation that does not show the VM of
// the first yet.
func TestPoolsThatAreAppliedOneAfterTheOtherUseOtherIdentifiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		requests := l.counter()
		s := l.session(requests)
		for _, name := range []string{"c", "b", "a"} {
			if _, _, err := s.Apply(t.Context(), poolOf(t, onePool(name, "replicas: 1")), false, acceptAll, engine.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		clones := 0
		for request, times := range requests.seen {
			if strings.HasSuffix(request, "/clone") {
				clones += times
			}
		}
		if clones != 3 {
			t.Errorf("three VMs needed %d clones", clones)
		}
	})
}
