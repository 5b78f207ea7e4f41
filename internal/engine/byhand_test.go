package engine_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// meddler is a network on which a person changes something right before one request.
type meddler struct {
	next http.RoundTripper
	at   int                       // the request, from 1; or
	when func(request string) bool // the first that is so
	hand func()

	mu     sync.Mutex
	count  int
	done   bool
	moved  chan struct{} // closed when the hand has moved; nil before it begins
	before []string      // "METHOD path" of the requests up to that one
	after  []string      // and from it on
	times  []time.Time
}

func (m *meddler) RoundTrip(request *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.count++
	said := request.Method + " " + strings.TrimPrefix(request.URL.Path, "/api2/json")
	if m.at == 0 && m.when(said) {
		m.at = m.count
	}
	mine := m.count == m.at
	list := &m.before
	if m.at > 0 && m.count >= m.at {
		list = &m.after
	}
	*list = append(*list, said)
	m.times = append(m.times, time.Now())
	if mine {
		m.moved = make(chan struct{})
	}
	moved := m.moved
	m.mu.Unlock()
	switch {
	case mine:
		m.hand()
		m.mu.Lock()
		m.done = true
		m.mu.Unlock()
		close(moved)
	case moved != nil:
		<-moved // what counts as sent after the hand moved is carried out after it
	}
	return m.next.RoundTrip(request)
}

// blind reports whether the change came right before a request like act, or shortly
// before it. Start, stop and destroy take no digest, so nothing protects between the
// last proof and the request: this is a known window (docs/architecture.md).
func (m *meddler) blind(within int, act func(request string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.after[:min(within, len(m.after))], act)
}

// eachCall runs the command once for each of its calls, with the change right before
// that call, and then judges the result.
func eachCall(t *testing.T, s scene, hand func(l *lab), judge func(l *lab, m *meddler, err error)) {
	t.Helper()
	calls := 0
	for at, reached := 1+len(t.Name())%thorough.Every, true; reached && !t.Failed(); at += thorough.Every {
		synctest.Test(t, func(t *testing.T) {
			l := s.set(t)
			m := &meddler{next: l.sim.Transport(), at: at, hand: func() { hand(l) }}
			err := s.run(context.Background(), l.engine("ops@desk", s.documents, m))
			if reached = m.done; reached {
				calls = at
				judge(l, m, err)
				l.usable(err)
			}
			if t.Failed() {
				t.Logf("at call %d (%s): %v", at, first(m.after), err)
			}
		})
	}
	t.Logf("%d calls", calls)
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// usable fails the test for an error that an operator cannot act on.
func (l *lab) usable(err error) {
	l.t.Helper()
	if err != nil && fault.FixOf(err) == "" {
		l.t.Errorf("an error without a kind or a fix: %s: %v", fault.KindOf(err), err)
	}
}

// try makes a change as root that may fail, because the VM is locked or gone.
func (l *lab) try(task pve.Task, err error) bool {
	if err == nil {
		err = task.Wait(context.Background())
	}
	return err == nil
}

// tryRecycle is recycle during a command: while the VM is locked it does nothing.
func (l *lab) tryRecycle(vmid int, running bool) {
	ctx, root := context.Background(), l.root()
	vm, there := l.sim.State().VMs[vmid]
	if _, foreign := l.foreignNow(vmid); foreign {
		return
	}
	if there {
		if l.destroyByHand(vm.Host, vmid) != nil {
			return
		}
	}
	if !l.try(root.Clone(ctx, "pve1", templateOn["pve1"], pve.CloneOptions{NewID: vmid, Name: "payroll"})) {
		return
	}
	l.must(root.UpdateConfig(ctx, "pve1", vmid, pve.ConfigUpdate{Set: map[string]string{"memory": "1024", "tags": "finance"}}))
	if running {
		l.await(root.Start(ctx, "pve1", vmid, 0))
	}
	l.keep(vmid)
}

func (l *lab) foreignNow(vmid int) (pvesim.VMState, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	vm, ok := l.foreign[vmid]
	return vm, ok
}

// TestANumberIsRecycledDuringACommand destroys the worker's VM by hand and makes a
// foreign VM with its number, before each call of each command. The foreign VM must
// stay as it is.
func TestANumberIsRecycledDuringACommand(t *testing.T) {
	bigger := edit("memory: 8Gi", "memory: 16Gi")(solo)
	acts := func(r string) bool {
		return strings.HasPrefix(r, "POST ") && strings.Contains(r, "/qemu/9100/status/") ||
			strings.HasPrefix(r, "DELETE ") && strings.HasSuffix(r, "/qemu/9100")
	}
	for _, s := range []scene{
		{name: "apply", documents: solo, run: apply},
		{name: "apply with a restart", made: solo, documents: bigger, run: restart},
		{name: "replace", made: solo, documents: solo, run: replace("gpu-1"), named: "gpu-1"},
		{name: "delete", made: solo, documents: solo, run: remove("gpu-1"), named: "gpu-1"},
		{name: "park", made: solo, documents: solo, run: park("gpu-1")},
		{name: "fewer plain workers", made: plainWorkers(1), documents: plainWorkers(0), run: apply},
	} {
		for how, running := range map[string]bool{"running": true, "stopped": false} {
			t.Run(s.name+", "+how, func(t *testing.T) {
				t.Parallel()
				windows := 0
				eachCall(t, s, func(l *lab) { l.allow("gpu-1"); l.tryRecycle(9100, running) }, func(l *lab, m *meddler, _ error) {
					if l.isBroken() && m.blind(1, acts) {
						windows++
						return
					}
					l.whole()
				})
				t.Logf("%d of them in the window between the last proof and the request", windows)
			})
		}
	}
}

// unseen reports whether the change could not be known at the request act: VM 300 was
// read less than a minute before the request, but before the change. Foreign VMs are
// read once a minute (docs/adr/0012): this is the other known window.
func (m *meddler) unseen(act string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	const read = "GET /nodes/pve1/qemu/300/pending"
	all := slices.Concat(m.before, m.after)
	acted := slices.Index(all, act)
	if acted < 0 {
		return false
	}
	last := -1
	for i, said := range all[:acted] {
		if said == read {
			last = i
		}
	}
	return last >= 0 && last < len(m.before) && m.times[acted].Sub(m.times[last]) <= time.Minute
}

// TestAPersonTakesTheCardDuringAnApply attaches the card to a stopped foreign VM
// before each call of an apply. Our VM must not be started then, unless the foreign
// VM was read less than a minute before. With a clone that takes longer than a minute,
// the first read has expired when the card is attached.
func TestAPersonTakesTheCardDuringAnApply(t *testing.T) {
	mapped := func(l *lab) {
		ctx, root := context.Background(), l.root()
		_ = root.CreateMapping(ctx, pve.MappingSpec{ID: "theirs", Map: []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8,subsystem-id=10de:12a2,iommugroup=14"}})
		l.must(root.UpdateConfig(ctx, "pve1", 300, pve.ConfigUpdate{Set: map[string]string{"machine": "q35", "hostpci0": "mapping=theirs"}}))
	}
	raw := func(l *lab) {
		l.must(l.root().UpdateConfig(context.Background(), "pve1", 300, pve.ConfigUpdate{Set: map[string]string{"machine": "q35", "hostpci0": "0000:03:00.0"}}))
	}
	slow := func(w *pvesim.World) {
		timing := pvesim.DefaultTimings()
		timing.CloneLinked = pvesim.Duration(2 * time.Minute)
		w.Timings = &timing
	}
	const start = "POST /nodes/pve1/qemu/9100/status/start"
	for how, hand := range map[string]func(*lab){"by a mapping": mapped, "by address": raw} {
		for speed, world := range map[string]func(*pvesim.World){"at once": nil, "during a slow clone": slow} {
			t.Run(how+", "+speed, func(t *testing.T) {
				t.Parallel()
				unseen, refused := 0, 0
				s := scene{documents: solo, run: apply, world: world, prepare: func(l *lab) { l.plantOn("pve1", 300, map[string]string{"name": "theirs"}) }}
				eachCall(t, s, hand, func(l *lab, m *meddler, err error) {
					if fault.Is(err, fault.Exists) {
						refused++
					}
					if l.isBroken() && (m.unseen(start) || slices.Contains(m.before, start)) {
						unseen++
						return
					}
					l.whole()
				})
				t.Logf("%d refused by attach or start, %d not seen", refused, unseen)
			})
		}
	}
}

// TestAPersonDestroysOurVMDuringAnApply destroys the incomplete VM by hand before each
// call; the same command again must make the worker.
func TestAPersonDestroysOurVMDuringAnApply(t *testing.T) {
	hand := func(l *lab) {
		l.allow("gpu-1")
		if vm, there := l.sim.State().VMs[9100]; there && vm.Lock == "" {
			_ = l.destroyByHand(vm.Host, 9100) // it may be in the middle of something
		}
	}
	for _, s := range []scene{
		{name: "apply", documents: solo, run: apply},
		{name: "replace", made: solo, documents: solo, run: replace("gpu-1"), named: "gpu-1"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			eachCall(t, s, hand, func(l *lab, _ *meddler, _ error) { l.converges(solo, "gpu-1") })
		})
	}
}

// TestTheHostGoesAwayDuringAnApply disconnects the host before each call, for ten
// minutes. The command must end, and the same command afterwards must converge.
func TestTheHostGoesAwayDuringAnApply(t *testing.T) {
	for _, s := range []scene{
		{name: "apply", documents: solo, run: apply},
		{name: "replace", made: solo, documents: solo, run: replace("gpu-1"), named: "gpu-1"},
		{name: "delete", made: solo, documents: solo, run: remove("gpu-1"), named: "gpu-1"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			hand := func(l *lab) {
				l.must(l.sim.SetHostOnline("pve1", false))
				time.AfterFunc(10*time.Minute, func() { _ = l.sim.SetHostOnline("pve1", true) })
			}
			eachCall(t, s, hand, func(l *lab, _ *meddler, _ error) {
				time.Sleep(11 * time.Minute)
				if err := s.run(context.Background(), l.engine("ops@desk", solo, nil)); err != nil && !fault.Is(err, fault.NotFound) {
					l.t.Errorf("when the host is back: %v", err)
				}
				l.whole()
				if s.name == "delete" {
					l.only()
					return
				}
				l.only("gpu-1")
			})
		})
	}
}
