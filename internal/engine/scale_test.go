package engine_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// large is the cluster of docs/performance.md: 200 hosts, 1,000 GPUs, 5,000 VMs.
var large = pvesim.Fleet{Hosts: 200, GPUs: 5, VMs: 25}

// fleetLab starts a generated cluster without checks.
func fleetLab(t testing.TB, size pvesim.Fleet) *lab {
	t.Helper()
	return newFreeLab(t, func(w *pvesim.World) {
		tokens := w.Tokens // with the canary
		*w = size.World()
		w.Tokens = tokens[:1]
	})
}

// wanted is a file that declares n GPU workers.
func wanted(n int) string {
	return strings.Replace(header, "last: 9199", "last: 19999", 1) + fmt.Sprintf(`
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2
  gpus: [{model: Tesla T4, count: %d}]
  template: {name: ubuntu-22.04}
  machine: {memory: 8Gi}
`, n)
}

// counter counts requests by their kind.
type counter struct {
	next http.RoundTripper

	mu   sync.Mutex
	seen map[string]int
}

func (l *lab) counter() *counter { return &counter{next: l.sim.Transport(), seen: map[string]int{}} }

func (c *counter) RoundTrip(request *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.seen[request.Method+" "+request.URL.RequestURI()]++
	c.mu.Unlock()
	return c.next.RoundTrip(request)
}

// asked sorts the requests: about single VMs, hosts, the cluster.
func (c *counter) asked() (vms, hosts, cluster int) {
	for what := range c.seen {
		switch {
		case strings.Contains(what, "/qemu/"):
			vms++
		case strings.Contains(what, "/nodes/"):
			hosts++
		default:
			cluster++
		}
	}
	return vms, hosts, cluster
}

// TestAnObservationReadsNothingTwice counts the requests of a plan, before and after
// the workers are made: one for each VM that can hold a card, few for each host, and
// none for foreign VMs on hosts without cards.
func TestAnObservationReadsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := pvesim.Fleet{Hosts: 10, Plain: 6, GPUs: 3, VMs: 25}
		l := fleetLab(t, size)
		look := func() (vms, hosts, cluster int) {
			t.Helper()
			wire := l.counter()
			_, err := l.engine("ops@desk", wanted(12), wire).Plan(t.Context(), planOptions{})
			l.must(err)
			for what, times := range wire.seen {
				if times > 1 {
					t.Errorf("asked %d times: %s", times, what)
				}
			}
			return wire.asked()
		}
		vms, hosts, cluster := look()
		if want := size.Hosts*size.VMs + size.Plain; vms != want || hosts != 4*(size.Hosts+size.Plain) || cluster > 9 {
			t.Errorf("asked %d VMs (want %d: all where cards are, elsewhere the template), %d things of 16 hosts, %d of the cluster", vms, want, hosts, cluster)
		}
		l.must(apply(t.Context(), l.engine("ops@desk", wanted(12), nil)))
		vms, hosts, cluster = look()
		if want := size.Hosts*size.VMs + size.Plain + 12; vms != want || hosts != 4*(size.Hosts+size.Plain)+size.Hosts || cluster > 9 {
			t.Errorf("with 12 workers: asked %d VMs (want %d), %d things of 16 hosts, %d of the cluster", vms, want, hosts, cluster)
		}
	})
}

// TestAnApplyOfNothingCostsWhatAPlanCosts: when everything is as declared, apply sends
// the same requests as plan.
func TestAnApplyOfNothingCostsWhatAPlanCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, pvesim.Fleet{Hosts: 4, GPUs: 3, VMs: 5})
		l.must(apply(t.Context(), l.engine("ops@desk", wanted(6), nil)))
		planned, applied := l.counter(), l.counter()
		_, err := l.engine("ops@desk", wanted(6), planned).Plan(t.Context(), planOptions{})
		l.must(err)
		l.must(apply(t.Context(), l.engine("ops@desk", wanted(6), applied)))
		if !maps.Equal(planned.seen, applied.seen) {
			t.Errorf("plan sends %v\napply sends %v", planned.seen, applied.seen)
		}
	})
}

// TestSixtyFourWorkersTakeLittleLongerThanTheCriticalPath makes 64 workers on 16 hosts
// and reads the simulated clock. The critical path: the rounds of clones that the limit
// of each host's storage needs, a start that pins 8 GiB, and the slowest guest. The
// rest is polling. With the race detector the fleet is a quarter of that.
func TestSixtyFourWorkersTakeLittleLongerThanTheCriticalPath(t *testing.T) {
	workers, hosts := 64, 16
	if thorough.Every > 1 {
		workers, hosts = workers/4, hosts/4
	}
	timing := pvesim.DefaultTimings()
	start, boot := timing.Start+8*timing.StartPinGiB, timing.AgentMax
	paths := map[string]pvesim.Duration{
		"Linked": timing.CloneLinked + start + boot,       // four at once on a storage
		"Full":   2*10*timing.CloneFullGiB + start + boot, // two at once, of 10 GiB
	}
	for _, clone := range slices.Sorted(maps.Keys(paths)) {
		t.Run(clone, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := fleetLab(t, pvesim.Fleet{Hosts: hosts, GPUs: 5, VMs: 5})
				documents := strings.ReplaceAll(wanted(workers), "{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: "+clone+"}")
				e := l.engine("ops@desk", documents, nil)
				plans, err := e.Plan(t.Context(), planOptions{})
				l.must(err)
				asked := len(l.sim.Requests())
				began := time.Now()
				_, err = e.Apply(t.Context(), plans, engine.ApplyOptions{})
				l.must(err)
				took, path := time.Since(began), time.Duration(paths[clone])
				if ratio := float64(took) / float64(path); ratio > 1.25 {
					t.Errorf("took %s, the critical path is %s: %.2f times", took, path, ratio)
				}
				t.Logf("took %s, %.2f times the critical path of %s, with %d requests", took.Round(time.Second), float64(took)/float64(path), path, len(l.sim.Requests())-asked)
			})
		})
	}
}

// BenchmarkPlan measures a plan of 64 GPU workers on the large cluster, over the
// product's own connections. It gives ratios within one run: of the whole plan to a
// loop that only sends the same requests with the same parallelism, with and without
// 5 ms of delay, as real answers have; and of the pure part, placement and planning.
// Package e2e measures the memory of the program.
func BenchmarkPlan(b *testing.B) {
	l := fleetLab(b, large)
	count := l.counter()
	worlds, err := l.engine("ops@desk", wanted(64), count).Observe(context.Background(), false)
	if err != nil {
		b.Fatal(err)
	}
	requests := slices.Collect(maps.Keys(count.seen))
	docs := decode(b, wanted(64))
	in := planner.Input{Hypervisor: &docs.Hypervisors[0], Pools: docs.WorkerPools, Snapshot: worlds[0].Snapshot}
	ratio := func(b *testing.B, takes time.Duration) {
		server := l.overHTTPS(b, takes)
		var whole, bare time.Duration
		for b.Loop() {
			whole += timed(func() { planOver(b, server, proxmox.NewLimit()) })
			bare += timed(func() { bareLoop(b, server, requests, proxmox.NewLimit().Total()) })
		}
		b.ReportMetric(float64(len(requests)), "requests")
		b.ReportMetric(float64(whole)/float64(bare), "whole/bare")
	}
	b.Run("at once", func(b *testing.B) { ratio(b, 0) })
	b.Run("5 ms later", func(b *testing.B) { ratio(b, 5*time.Millisecond) })
	b.Run("place and plan", func(b *testing.B) {
		for b.Loop() {
			if p := planner.Build(in); p.Summary().Create != 64 {
				b.Fatalf("%+v", p.Summary())
			}
		}
	})
}

// BenchmarkRequestsAtOnce plans with different limits on parallel requests, on clusters
// with realistic delays.
func BenchmarkRequestsAtOnce(b *testing.B) {
	l := fleetLab(b, pvesim.Fleet{Hosts: 64, GPUs: 5, VMs: 25})
	for _, takes := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond} {
		server := l.overHTTPS(b, takes)
		for _, bound := range []int{8, 16, 24, 48} {
			b.Run(fmt.Sprintf("%s/%d", takes, bound), func(b *testing.B) {
				for b.Loop() {
					planOver(b, server, pve.NewLimit(bound, 3))
				}
			})
		}
	}
}

// planOver makes a plan over the product's own connections.
func planOver(b *testing.B, server *httptest.Server, limit *pve.Limit) {
	b.Helper()
	documents := strings.Replace(wanted(64), "https://pve1:8006", server.URL, 1)
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	e := openEngine(decode(b, documents), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
		return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, CA: trusted, Limit: limit})
	})
	if _, err := e.Plan(context.Background(), planOptions{}); err != nil {
		b.Fatal(err)
	}
}

// later is a network with a delay.
type later struct {
	next http.RoundTripper
	by   time.Duration
}

func (l later) RoundTrip(request *http.Request) (*http.Response, error) {
	time.Sleep(l.by)
	return l.next.RoundTrip(request)
}

// overHTTPS serves the cluster over TLS on the loopback, with a delay for answers.
func (l *lab) overHTTPS(b *testing.B, takes time.Duration) *httptest.Server {
	b.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(takes)
		l.sim.ServeHTTP(w, r)
	}))
	server.Config.IdleTimeout = l.sim.Server().IdleTimeout
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	b.Cleanup(server.Close)
	return server
}

func timed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// bareLoop makes the requests of an observation and throws the answers away.
func bareLoop(b *testing.B, server *httptest.Server, requests []string, parallel int) {
	wire := server.Client().Transport.(*http.Transport).Clone()
	wire.MaxIdleConnsPerHost = parallel
	defer wire.CloseIdleConnections()
	work := make(chan string)
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for what := range work {
				method, path, _ := strings.Cut(what, " ")
				request, err := http.NewRequestWithContext(context.Background(), method, server.URL+path, http.NoBody)
				if err != nil {
					b.Error(err)
					continue
				}
				request.Header.Set("Authorization", "PVEAPIToken=gpuworker@pve!engine="+canary)
				answer, err := wire.RoundTrip(request)
				if err != nil || answer.StatusCode != http.StatusOK {
					b.Error(what, answer, err)
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
		})
	}
	for _, what := range requests {
		work <- what
	}
	close(work)
	group.Wait()
}

// BenchmarkRefusals plans workers that no card of the large cluster fits: the refusals
// of a thousand cards are found once, not for each worker.
func BenchmarkRefusals(b *testing.B) {
	l := fleetLab(b, large)
	worlds, err := l.engine("ops@desk", wanted(1), nil).Observe(context.Background(), false)
	if err != nil {
		b.Fatal(err)
	}
	build := func(n int) time.Duration {
		docs := decode(b, strings.ReplaceAll(wanted(n), "Tesla T4", "H100"))
		in := planner.Input{Hypervisor: &docs.Hypervisors[0], Pools: docs.WorkerPools, Snapshot: worlds[0].Snapshot}
		return timed(func() {
			if p := planner.Build(in); p.Summary().Refused != n {
				b.Fatalf("%+v", p.Summary())
			}
		})
	}
	var one, many time.Duration
	for b.Loop() {
		one += build(1)
		many += build(64)
	}
	b.ReportMetric(float64(many)/float64(one), "64/1")
}
