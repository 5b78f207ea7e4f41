package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// The size of the apply that is measured: four workers on each host.
const (
	costHosts   = 16
	costWorkers = 64
)

// BenchmarkAnApplyOfManyWorkers runs the program itself, over TLS, and creates 64 GPU
// workers on 16 hosts with 5, 25 and 100 foreign VMs each, including the template. It
// reports the requests that the server counted and the cost of the process, and fits
//
//	requests = a × workers + b × hosts × others
//
// b is how often each foreign VM is read. Each measurement takes half a minute: the
// time of the cluster is not accelerated, because the program's pauses are real.
func BenchmarkAnApplyOfManyWorkers(b *testing.B) {
	var points []costPoint
	for _, others := range []int{5, 25, 100} {
		b.Run(fmt.Sprintf("%d others", others), func(b *testing.B) {
			for b.Loop() {
				cost := applyCost(b, others)
				points = append(points, costPoint{others, cost.requests})
				b.ReportMetric(float64(cost.requests), "requests")
				b.ReportMetric(float64(cost.connections), "connections")
				b.ReportMetric(float64(cost.inFlight), "in-flight")
				b.ReportMetric(float64(cost.onHost), "on-one-host")
				b.ReportMetric(cost.cpu.Seconds(), "cpu-s")
				b.ReportMetric(cost.wall.Seconds(), "wall-s")
			}
		})
	}
	b.Run("fit", func(b *testing.B) {
		for b.Loop() { // nothing is left to do
		}
		perWorker, perOther := fitCost(points)
		b.ReportMetric(perWorker, "a")
		b.ReportMetric(perOther, "b")
	})
}

type costPoint struct{ others, requests int }

// fitCost fits a and b by least squares.
func fitCost(points []costPoint) (a, b float64) {
	var xx, xy, yy, xr, yr float64
	for _, p := range points {
		x, y, r := float64(costWorkers), float64(costHosts*p.others), float64(p.requests)
		xx, xy, yy, xr, yr = xx+x*x, xy+x*y, yy+y*y, xr+x*r, yr+y*r
	}
	det := xx*yy - xy*xy
	return (xr*yy - yr*xy) / det, (yr*xx - xr*xy) / det
}

// cost is the cost of one apply: requests and resources.
type cost struct {
	requests, connections int
	inFlight, onHost      int // maximum of concurrent requests; of those to one host
	cpu, wall             time.Duration
}

// applyCost starts a cluster and applies once.
func applyCost(b *testing.B, others int) cost {
	b.Helper()
	world := pvesim.Fleet{Hosts: costHosts, GPUs: 5, VMs: others}.World()
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	meter := &meter{next: sim, hosts: map[string]int{}}
	server := httptest.NewUnstartedServer(meter)
	server.Config.IdleTimeout = sim.Server().IdleTimeout
	server.Config.ConnState = meter.connection
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	sum := sha256.Sum256(server.Certificate().Raw)
	file := filepath.Join(b.TempDir(), "fleet.yaml")
	documents := strings.NewReplacer("${ENDPOINT}", server.URL, "${FINGERPRINT}", hex.EncodeToString(sum[:])).Replace(loginDocuments) + fmt.Sprintf(`---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2-lab
  gpus: [{model: Tesla T4, count: %d}]
  template: {name: ubuntu-22.04}
  machine: {memory: 8Gi}
`, costWorkers)
	if err := os.WriteFile(file, []byte(documents), 0o600); err != nil {
		b.Fatal(err)
	}
	time.Sleep(2 * time.Second) // VMs that were started recently are read again
	command := exec.CommandContext(b.Context(), "gpuworker", "apply", "-f", file, "--yes")
	command.Env = append(os.Environ(), "PVE_TOKEN="+world.Tokens[0].ID+"="+world.Tokens[0].Secret)
	began := time.Now()
	if out, err := command.CombinedOutput(); err != nil || bytes.Count(out, []byte("Tesla T4")) == 0 {
		b.Fatalf("%v\n%.4000s", err, out)
	}
	took := meter.cost
	took.wall = time.Since(began)
	took.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return took
}

// meter counts the requests.
type meter struct {
	next http.Handler

	mu    sync.Mutex
	cost  cost
	now   int
	hosts map[string]int
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/nodes/")
	host, _, _ := strings.Cut(rest, "/")
	m.count(host, 1)
	defer m.count(host, -1)
	m.next.ServeHTTP(w, r)
}

func (m *meter) count(host string, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += by
	m.hosts[host] += by
	if by > 0 {
		m.cost.requests++
		m.cost.inFlight = max(m.cost.inFlight, m.now)
		m.cost.onHost = max(m.cost.onHost, m.hosts[host])
	}
}

func (m *meter) connection(_ net.Conn, state http.ConnState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if state == http.StateNew {
		m.cost.connections++
	}
}
