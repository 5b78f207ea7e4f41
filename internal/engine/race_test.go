package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// jitter is a network with random delays of requests and answers.
type jitter struct {
	next http.RoundTripper

	mu     sync.Mutex
	random *rand.Rand
}

func (j *jitter) RoundTrip(request *http.Request) (*http.Response, error) {
	j.wait()
	answer, err := j.next.RoundTrip(request)
	j.wait()
	return answer, err
}

func (j *jitter) wait() {
	j.mu.Lock()
	d := time.Duration(j.random.IntN(40)) * time.Millisecond
	j.mu.Unlock()
	time.Sleep(d)
}

// wanting is a file with a pool of one worker on a T4 of pve1, and a plain one.
func wanting(pool string) string {
	return header + fmt.Sprintf(`
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: %[1]s}
spec:
  hypervisor: lab
  kubeCluster: rke2
  gpus: [{host: pve1, bdf: "0000:03:00.0"}]
  template: {name: ubuntu-22.04}
  machine: {memory: 4Gi}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: %[1]s-plain}
spec:
  hypervisor: lab
  kubeCluster: rke2
  replicas: 1
  hosts: [pve1]
  template: {name: ubuntu-22.04}
  machine: {memory: 2Gi, cores: 2}
`, pool)
}

// declaredAreThere reports whether all workers of the plan's documents are as declared.
// Workers of the other file may exist too.
func declaredAreThere(p *plan.Plan) bool {
	for w := range p.Workers() {
		if w.Action != plan.Keep && !w.Undeclared {
			return false
		}
	}
	return true
}

var raceSeeds = thorough.Of(200)

// TestTwoEnginesWantOneCard lets two engines with different files apply at once, over
// networks of random speed. Exactly one gets the card; the error of the other must
// name the winner. Their plain workers, which want the same VM number, are both made.
func TestTwoEnginesWantOneCard(t *testing.T) {
	t.Parallel()
	won := map[string]int{}
	for seed := range raceSeeds {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, oneHost)
			errs := l.race(uint64(seed), map[string]command{"red": apply, "blue": apply})
			l.whole()
			winner, loser := "red", "blue"
			if errs["red"] != nil {
				winner, loser = loser, winner
			}
			won[winner]++
			if errs[winner] != nil || errs[loser] == nil {
				t.Fatalf("seed %d: red %v, blue %v", seed, errs["red"], errs["blue"])
			}
			if !strings.Contains(errs[loser].Error(), winner+"-1") {
				t.Errorf("seed %d: %s does not say that %s-1 has the card: %v", seed, loser, winner, errs[loser])
			}
			if strings.Contains(errs[loser].Error(), "nothing was done") {
				// It saw that it had lost before its first step; the advice is to look again.
				l.must(apply(context.Background(), l.engine(loser, wanting(loser), nil)))
			}
			l.only(winner+"-1", "red-plain-1", "blue-plain-1")
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d seeds: %v", raceSeeds, won)
}

// TestOneEngineClaimsWhileTheOtherReleases lets one engine delete its worker while
// another already wants the card: the dangerous moment is between the mark and the
// removal of the register.
func TestOneEngineClaimsWhileTheOtherReleases(t *testing.T) {
	t.Parallel()
	for seed := range raceSeeds {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, made(t, wanting("red")))
			l.allow("red-1")
			take := func(ctx context.Context, e testEngine) error {
				var err error
				for range 60 { // as a person does who is told that the card is taken
					err = apply(ctx, e)
					if plans, _ := e.Plan(ctx, planOptions{}); len(plans.Plans) == 1 && declaredAreThere(plans.Plans[0]) {
						return nil
					}
					time.Sleep(10 * time.Second)
				}
				return errors.Join(errors.New("never got the card"), err)
			}
			errs := l.race(uint64(seed), map[string]command{"red": remove("red-1"), "blue": take})
			l.whole()
			if errs["red"] != nil || errs["blue"] != nil {
				t.Fatalf("seed %d: red %v, blue %v", seed, errs["red"], errs["blue"])
			}
			l.only("blue-1", "red-plain-1", "blue-plain-1")
		})
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
	}
}

// race runs commands at once, each with a file, a pool and a network of its own.
func (l *lab) race(seed uint64, commands map[string]command) map[string]error {
	errs := map[string]error{}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
	)
	for name, run := range commands {
		wire := &jitter{next: l.sim.Transport(), random: rand.New(rand.NewPCG(seed, uint64(len(name))))}
		e := l.engine(name+"@desk", wanting(name), wire)
		group.Go(func() {
			err := run(context.Background(), e)
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	group.Wait()
	return errs
}

// TestARecycledNumberIsNeverTouched destroys a worker's VM by hand and makes another
// VM with its number. No command may change that VM.
func TestARecycledNumberIsNeverTouched(t *testing.T) {
	commands := map[string]command{
		"apply": apply, "replace": replace("gpu-1"), "delete": remove("gpu-1"),
		"park": park("gpu-1"), "unpark": unpark("gpu-1"), "orphans": orphans, "observe": observe,
	}
	for name, run := range commands {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				if err := apply(context.Background(), l.engine("ops@desk", fleet, nil)); err != nil {
					t.Fatal(err)
				}
				vmid := l.vmid("gpu-1")
				l.allow("gpu-1")
				l.recycle(vmid)
				err := run(context.Background(), l.engine("ops@desk", fleet, nil))
				t.Logf("%s: %v", name, err)
				if err != nil && fault.KindOf(err) == fault.Unknown {
					t.Errorf("an error without a kind: %v", err)
				}
				l.whole()
			})
		})
	}
}

// TestACopyOfOurVMIsNeverTouched clones a worker's VM by hand: the copy has our tag and
// our note, but is not ours.
func TestACopyOfOurVMIsNeverTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		ctx := context.Background()
		if err := apply(ctx, l.engine("ops@desk", fleet, nil)); err != nil {
			t.Fatal(err)
		}
		record := recordOf(l.sim.State().VMs[l.vmid("plain-1")])
		vm := l.plant(4711, map[string]string{
			"name": "plain-1", "tags": inventory.OwnerTag, "description": record.Line(), "memory": "512",
		})
		if err := apply(ctx, l.engine("ops@desk", strings.Replace(fleet, "replicas: 1", "replicas: 0", 1), nil)); err != nil {
			t.Logf("apply: %v", err)
		}
		l.whole()
		if state := l.sim.State(); state.VMs[vm].Name != "plain-1" {
			t.Error("the copy is gone")
		}
	})
}
