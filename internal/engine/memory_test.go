package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/backendtest/memory"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// The whole engine on a hypervisor that differs from Proxmox VE in every capability: it
// chooses identifiers, shows no IOMMU groups, has no register of claims, and gives VMs
// their host and card when they are started.

// otherLab is such a hypervisor; the world is checked at each request.
type otherLab struct {
	t     *testing.T
	world *memory.Cluster

	mu     sync.Mutex
	broken []string
	may    map[string]bool // workers that may be destroyed
	before map[string]inventory.VM
}

func newOtherLab(t *testing.T) *otherLab {
	t.Helper()
	w := memory.NewCluster(1, otherHost("alpha"), otherHost("beta"))
	w.AddTemplate("ubuntu-22.04", inventory.Machine{
		Cores: 2, MemoryMiB: 2048, CPU: "host", Type: inventory.TypeQ35, Firmware: inventory.FirmwareUEFI,
		DiskMiB: 10 << 10, Storage: "store", NICs: []inventory.NIC{{Network: "lan"}},
	})
	return &otherLab{t: t, world: w, may: map[string]bool{}}
}

// otherHost has one Tesla T4.
func otherHost(name string) inventory.Host {
	const gib = 1 << 30
	t4 := pci.Function{
		BDF: pci.MustBDF("0000:03:00.0"), ID: pci.MustID("10de:1eb8"), Class: 0x030200, Group: pci.NoGroup,
		Vendor: "NVIDIA Corporation", Name: "TU104GL [Tesla T4]",
	}
	return inventory.Host{
		Name: name, Online: true, CPUs: 32, MemoryTotal: 128 * gib, MemoryUsed: 8 * gib, IOMMU: inventory.Unknown,
		Devices: pci.Devices([]pci.Function{t4}), Bridges: []inventory.Bridge{{Name: "lan"}},
		Storages: []inventory.Storage{{Name: "store", Content: []string{"images"}, Shared: true, Active: true, Total: 1000 * gib, Free: 900 * gib}},
	}
}

// otherPools is a worker on the card of alpha and a plain one.
const otherPools = header + `
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2
  gpus: [{host: alpha, bdf: "0000:03:00.0"}]
  networks: [{name: lan}]
  template: {name: ubuntu-22.04}
  machine: {memory: 8Gi, disk: {size: 20Gi}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: plain}
spec:
  hypervisor: lab
  kubeCluster: rke2
  replicas: 1
  template: {name: ubuntu-22.04}
  machine: {memory: 2Gi, cores: 2}
`

func (l *otherLab) engine(by, documents string, wire memory.Wire) testEngine {
	return openEngine(decode(l.t, documents), by, func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
		return l.world.Open(h.Name, l.watched(wire), nil), nil
	})
}

// watched judges the world after each request that writes.
func (l *otherLab) watched(wire memory.Wire) memory.Wire {
	return func(write bool, do func() error) error {
		judged := func() error {
			err := do()
			if write {
				l.judge()
			}
			return err
		}
		if wire == nil {
			return judged()
		}
		return wire(write, judged)
	}
}

func (l *otherLab) look() *inventory.Snapshot {
	s, err := l.world.Open("lab", nil, nil).Observe(context.Background(), hypervisor.Scope{})
	if err != nil {
		l.t.Error(err)
	}
	return s
}

// judge checks the world against the invariants.
func (l *otherLab) judge() {
	l.mu.Lock() // of two looks the later one is judged later
	defer l.mu.Unlock()
	s := l.look()
	held, now := map[pci.CardRef]string{}, map[string]inventory.VM{}
	for i := range s.VMs {
		vm := s.VMs[i]
		now[vm.UUID] = vm
		for _, a := range vm.Cards {
			for _, card := range a.Cards {
				if other := held[card]; other != "" && other != vm.ID {
					l.broken = append(l.broken, fmt.Sprintf("1: %s and %s have card %s", other, vm.ID, card))
				}
				held[card] = vm.ID
			}
		}
	}
	for uuid, was := range l.before {
		is, there := now[uuid]
		switch {
		case was.Record == nil && (!there || is.Running != was.Running || is.Name != was.Name || len(is.Tags) != len(was.Tags)):
			l.broken = append(l.broken, fmt.Sprintf("2: VM %s (%s) of somebody else was touched", was.ID, was.Name))
		case was.Record != nil && !there && was.Record.Lifecycle == "SemiPersistent" && !l.may[was.Record.Worker]:
			l.broken = append(l.broken, fmt.Sprintf("3: worker %s was destroyed", was.Record.Worker))
		}
	}
	l.before = now
}

// whole fails the test when an invariant was broken, or unless exactly these workers
// exist and are complete.
func (l *otherLab) whole(workers ...string) {
	l.t.Helper()
	l.mu.Lock()
	for _, b := range l.broken {
		l.t.Error(b)
	}
	l.mu.Unlock()
	s := l.look()
	var there []string
	for i := range s.VMs {
		vm := &s.VMs[i]
		ownership, why := vm.Ownership()
		if vm.Record == nil {
			continue
		}
		there = append(there, vm.Name)
		wrong := ownership != inventory.Ours || vm.Running == vm.Parked() || vm.State != inventory.Free || vm.Record.Replacing != ""
		if card := vm.Record.Card; wrong || !card.IsZero() != (len(vm.Cards) == 1) || !card.IsZero() && s.Claim(vm.Cards[0].Cards[0]) == nil {
			l.t.Errorf("%s is not a finished worker: %s %s %+v", vm.Name, ownership, why, vm)
		}
	}
	slices.Sort(there)
	slices.Sort(workers)
	if !slices.Equal(there, workers) {
		l.t.Errorf("VMs of ours: %v, want %v", there, workers)
	}
	gpus := 0
	for _, name := range workers {
		if strings.HasPrefix(name, "gpu") {
			gpus++
		}
	}
	if len(s.Claims) != gpus {
		l.t.Errorf("%d claims for %d GPU workers: %+v", len(s.Claims), gpus, s.Claims)
	}
}

func (l *otherLab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *otherLab) asDeclared(documents string) {
	l.t.Helper()
	plans, err := l.engine("judge", documents, nil).Plan(context.Background(), planOptions{})
	l.must(err)
	if !plans.Plans[0].AsDeclared() {
		l.t.Errorf("the world is not as declared: %+v", plans.Plans[0].Pools)
	}
}

func TestWorkersOnAHypervisorWithOtherCapabilities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ctx := newOtherLab(t), context.Background()
		e := l.engine("ops@desk", otherPools, nil)
		plans, err := e.Plan(ctx, planOptions{})
		l.must(err)
		var text strings.Builder
		l.must(plan.Text(&text, plans.Plans[0], plan.Style{}))
		for _, line := range []string{"create a VM: 4 cores, 8 GiB", "CARD-GROUP-HIDDEN"} {
			if !strings.Contains(text.String(), line) {
				t.Errorf("the plan does not say %q:\n%s", line, &text)
			}
		}
		l.must(apply(ctx, e))
		l.whole("gpu-1", "plain-1")
		l.asDeclared(otherPools)
		l.must(park("gpu-1")(ctx, e))
		l.whole("gpu-1", "plain-1")
		l.must(apply(ctx, e)) // it stays parked
		l.whole("gpu-1", "plain-1")
		l.must(unpark("gpu-1")(ctx, e))
		l.may["gpu-1"] = true
		l.must(replace("gpu-1")(ctx, e))
		l.whole("gpu-1", "plain-1")
		l.must(restart(ctx, l.engine("ops@desk", edit("memory: 8Gi", "memory: 16Gi")(otherPools), nil)))
		l.whole("gpu-1", "plain-1")
		l.must(remove("plain-1")(ctx, e))
		l.must(disown("gpu-1")(ctx, e))
		l.whole()
		s := l.look()
		at := slices.IndexFunc(s.VMs, func(vm inventory.VM) bool { return vm.Name == "gpu-1" })
		if at < 0 || !s.VMs[at].Running || len(s.VMs[at].Cards) != 1 {
			t.Fatalf("the disowned VM is %+v", s.VMs)
		}
		l.before = nil // a person says that this VM is to be touched
		adopted, err := e.PlanAdopt(ctx, s.VMs[at].ID, "gpu-1")
		l.must(err)
		_, err = e.Apply(ctx, adopted, engine.ApplyOptions{})
		l.must(err)
		l.whole("gpu-1")
		l.must(remove("gpu-1")(ctx, e))
		l.whole()
	})
}

// otherCut is a connection that breaks at one request.
type otherCut struct {
	mu    sync.Mutex
	count int
	at    int
	late  bool
	dead  bool
	kill  func()
}

func (c *otherCut) carry(_ bool, do func() error) error {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return errDead
	}
	c.count++
	die := c.count == c.at
	c.dead = die
	c.mu.Unlock()
	if !die {
		return do()
	}
	if c.late {
		_ = do()
	}
	c.kill()
	return errDead
}

// TestKilledAtAnyCallOfAnotherHypervisor is TestKilledAtAnyCall there.
func TestKilledAtAnyCallOfAnotherHypervisor(t *testing.T) {
	scenes := []struct {
		name    string
		made    bool
		run     command
		named   string
		workers []string
	}{
		{"apply", false, apply, "", []string{"gpu-1", "plain-1"}},
		{"replace", true, replace("gpu-1"), "gpu-1", []string{"gpu-1", "plain-1"}},
		{"replace a plain worker", true, replace("plain-1"), "plain-1", []string{"gpu-1", "plain-1"}},
		{"delete", true, remove("gpu-1"), "gpu-1", []string{"plain-1"}},
		{"park", true, park("gpu-1"), "", []string{"gpu-1", "plain-1"}},
	}
	for _, s := range scenes {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %v", s.name, late), func(t *testing.T) {
				t.Parallel()
				points := 0
				for at, cut := 1, true; cut && !t.Failed(); at += thorough.Every {
					synctest.Test(t, func(t *testing.T) {
						l := newOtherLab(t)
						if s.made {
							l.must(apply(context.Background(), l.engine("ops@desk", otherPools, nil)))
						}
						l.may[s.named] = true
						dying, kill := context.WithCancel(context.Background())
						defer kill()
						wire := &otherCut{at: at, late: late, kill: kill}
						err := s.run(dying, l.engine("ops@desk", otherPools, wire.carry))
						if cut = wire.dead; cut {
							points++
							err = s.run(context.Background(), l.engine("colleague@desk", otherPools, nil))
						}
						if err != nil && !fault.Is(err, fault.NotFound) {
							t.Errorf("run to its end: %v", err)
						}
						l.whole(s.workers...)
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

// slowlyThere delays each request and its answer by a random time.
func slowlyThere(random *rand.Rand) memory.Wire {
	var mu sync.Mutex
	pause := func() {
		mu.Lock()
		d := time.Duration(random.IntN(400)) * time.Millisecond
		mu.Unlock()
		time.Sleep(d)
	}
	return func(_ bool, do func() error) error {
		pause()
		err := do()
		pause()
		return err
	}
}

// TestTwoEnginesWantOneCardWithoutARegister runs 500 seeds. Both may yield, but never
// may both have the card. The error of the loser names the winner, and the loser gets
// the card when the winner is gone.
func TestTwoEnginesWantOneCardWithoutARegister(t *testing.T) {
	gpuPool := otherPools[:strings.LastIndex(otherPools, "---")]
	red := gpuPool
	blue := strings.Replace(gpuPool, "{name: gpu}", "{name: gpublue}", 1)
	outcomes := map[string]int{}
	const seeds = 500
	for seed := uint64(0); seed < seeds && !t.Failed(); seed += uint64(thorough.Every) {
		synctest.Test(t, func(t *testing.T) {
			l := newOtherLab(t)
			errs := make([]error, 2)
			var group sync.WaitGroup
			for i, documents := range []string{red, blue} {
				wire := slowlyThere(rand.New(rand.NewPCG(seed, uint64(i))))
				group.Go(func() {
					errs[i] = apply(context.Background(), l.engine(fmt.Sprintf("person%d@desk", i+1), documents, wire))
				})
			}
			group.Wait()
			switch {
			case errs[0] == nil && errs[1] == nil:
				t.Errorf("both have it")
			case errs[0] == nil:
				outcomes["red"]++
			case errs[1] == nil:
				outcomes["blue"]++
			default:
				outcomes["nobody"]++
			}
			for _, err := range errs {
				if err != nil && !errors.Is(err, context.Canceled) && !fault.Is(err, fault.Exists) && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Refused) {
					t.Errorf("who lost is told: %v", err)
				}
			}
			l.may["gpu-1"], l.may["gpublue-1"] = true, true
			l.must(remove("gpublue-1")(context.Background(), l.engine("person2@desk", blue, nil)))
			l.must(apply(context.Background(), l.engine("person1@desk", red, nil)))
			l.whole("gpu-1")
			if t.Failed() {
				t.Logf("seed %d: %v", seed, errs)
			}
		})
	}
	t.Logf("%v", outcomes)
	for _, who := range slices.Sorted(maps.Keys(map[string]bool{"red": true, "blue": true})) {
		if outcomes[who] == 0 {
			t.Errorf("%s never got the card: %v", who, outcomes)
		}
	}
}
