package engine_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// large is the cluster that docs/performance.md speaks of: 200 hosts, 1,000
// GPUs, 5,000 VMs.
var large = pvesim.Fleet{Hosts: 200, GPUs: 5, VMs: 25}

// fleetLab starts a generated cluster that nobody watches.
func fleetLab(t testing.TB, size pvesim.Fleet) *lab {
	t.Helper()
	return newFreeLab(t, func(w *pvesim.World) {
		tokens := w.Tokens // with the canary
		*w = size.World()
		w.Tokens = tokens[:1]
	})
}

// wanted is a file that wants n GPU workers.
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

// counter counts requests by what they ask for.
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

// asked sorts the questions: of single VMs, of hosts, of the cluster.
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

// TestAnObservationAsksNothingTwice counts what a plan asks, before and after
// the workers are there: each VM that can hold a card once, few things of each
// host, and nothing of other people's VMs on hosts without cards.
func TestAnObservationAsksNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := pvesim.Fleet{Hosts: 10, Plain: 6, GPUs: 3, VMs: 25}
		l := fleetLab(t, size)
		look := func() (vms, hosts, cluster int) {
			t.Helper()
			wire := l.counter()
			_, err := l.engine("ops@desk", wanted(12), wire).Plan(t.Context(), engine.PlanOptions{})
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

// TestAnApplyOfNothingCostsWhatAPlanCosts: where all is as declared, apply sends
// what plan sends, and nothing more.
func TestAnApplyOfNothingCostsWhatAPlanCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, pvesim.Fleet{Hosts: 4, GPUs: 3, VMs: 5})
		l.must(apply(t.Context(), l.engine("ops@desk", wanted(6), nil)))
		planned, applied := l.counter(), l.counter()
		_, err := l.engine("ops@desk", wanted(6), planned).Plan(t.Context(), engine.PlanOptions{})
		l.must(err)
		l.must(apply(t.Context(), l.engine("ops@desk", wanted(6), applied)))
		if !maps.Equal(planned.seen, applied.seen) {
			t.Errorf("plan sends %v\napply sends %v", planned.seen, applied.seen)
		}
	})
}

// TestSixtyFourWorkersTakeLittleLongerThanTheCriticalPath makes 64 workers on 16
// hosts and reads the simulated clock. The path: as many rounds of clones as the
// limit of each host's storage asks for, a start that pins 8 GiB, and the slowest
// guest of all. What is beyond it is looking when things are done. With the race
// detector it is a quarter of that.
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
				plans, err := e.Plan(t.Context(), engine.PlanOptions{})
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

// BenchmarkPlan measures a plan of 64 GPU workers on the large cluster, over
// HTTPS, as ratios within one run: the whole plan to a bare loop that makes the
// very same requests with the same parallelism and throws the answers away, at
// once and with answers that take 5 ms longer, as real ones do; and the pure
// part, which places and plans, by itself. What memory the program takes is
// measured from outside, in package e2e.
func BenchmarkPlan(b *testing.B) {
	l := fleetLab(b, large)
	count := l.counter()
	worlds, err := l.engine("ops@desk", wanted(64), count).Observe(context.Background(), false)
	if err != nil {
		b.Fatal(err)
	}
	requests := slices.Collect(maps.Keys(count.seen))
	docs := decode(b, wanted(64))
	in := plan.Input{Hypervisor: &docs.Hypervisors[0], Pools: docs.WorkerPools, Snapshot: worlds[0].Snapshot}
	wire := l.overHTTPS(b)
	ratio := func(b *testing.B, wire http.RoundTripper) {
		var whole, bare time.Duration
		for b.Loop() {
			whole += timed(func() {
				if _, err := l.engine("ops@desk", wanted(64), wire).Plan(context.Background(), engine.PlanOptions{}); err != nil {
					b.Fatal(err)
				}
			})
			bare += timed(func() { bareLoop(b, wire, requests, 8) })
		}
		b.ReportMetric(float64(len(requests)), "requests")
		b.ReportMetric(float64(whole)/float64(bare), "whole/bare")
	}
	b.Run("at once", func(b *testing.B) { ratio(b, wire) })
	b.Run("5 ms later", func(b *testing.B) { ratio(b, later{wire, 5 * time.Millisecond}) })
	b.Run("place and plan", func(b *testing.B) {
		for b.Loop() {
			if p := plan.Build(in); p.Summary().Create != 64 {
				b.Fatalf("%+v", p.Summary())
			}
		}
	})
}

// later is a network that takes its time.
type later struct {
	next http.RoundTripper
	by   time.Duration
}

func (l later) RoundTrip(request *http.Request) (*http.Response, error) {
	time.Sleep(l.by)
	return l.next.RoundTrip(request)
}

// overHTTPS is a transport to the cluster over TLS on the loopback.
func (l *lab) overHTTPS(b *testing.B) http.RoundTripper {
	b.Helper()
	server := httptest.NewTLSServer(l.sim)
	b.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
		MaxIdleConnsPerHost: 16,
	}
}

func timed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// bareLoop makes the requests of an observation and throws the answers away.
func bareLoop(b *testing.B, wire http.RoundTripper, requests []string, parallel int) {
	work := make(chan string)
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for what := range work {
				method, path, _ := strings.Cut(what, " ")
				request, err := http.NewRequestWithContext(context.Background(), method, "https://pve1:8006"+path, http.NoBody)
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

// BenchmarkRefusals plans workers that no card of the large cluster fits: the
// reasons of a thousand cards are found once, not for each worker.
func BenchmarkRefusals(b *testing.B) {
	l := fleetLab(b, large)
	worlds, err := l.engine("ops@desk", wanted(1), nil).Observe(context.Background(), false)
	if err != nil {
		b.Fatal(err)
	}
	build := func(n int) time.Duration {
		docs := decode(b, strings.ReplaceAll(wanted(n), "Tesla T4", "H100"))
		in := plan.Input{Hypervisor: &docs.Hypervisors[0], Pools: docs.WorkerPools, Snapshot: worlds[0].Snapshot}
		return timed(func() {
			if p := plan.Build(in); p.Summary().Refused != n {
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
