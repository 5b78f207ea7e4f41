package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// fleetSize is a generated cluster: hosts with GPUs, and VMs of other people, of
// which some hold a card.
type fleetSize struct{ hosts, gpus, vms int } // gpus and vms for each host

// large is the cluster that docs/performance.md speaks of: 200 hosts, 1,000
// GPUs, 5,000 VMs.
var large = fleetSize{hosts: 200, gpus: 5, vms: 25}

func (f fleetSize) world(l *pvesim.World) {
	base := l.Hosts[0]
	l.Hosts, l.VMs, l.Mappings = nil, nil, nil
	for h := range f.hosts {
		host := base
		host.Name, host.IP, host.PCI = fmt.Sprintf("h%03d", h), "", nil
		host.CPUs, host.MemoryGiB = 256, 2048
		host.Bridges = []pvesim.Bridge{{Name: "vmbr0", CIDR: fmt.Sprintf("10.9.%d.1/24", h%250)}}
		for _, f := range base.PCI[:3] {
			host.PCI = append(host.PCI, f)
		}
		for g := range f.gpus {
			host.PCI = append(host.PCI, pvesim.PCIFunction{
				Address: fmt.Sprintf("0000:%02x:00.0", 0x81+g), Class: "0x030200", ID: "10de:1eb8",
				Vendor: "NVIDIA Corporation", Name: "TU104GL [Tesla T4]", Subsystem: "10de:12a2", Group: 40 + g, Driver: "vfio-pci",
			})
		}
		l.Hosts = append(l.Hosts, host)
		l.VMs = append(l.VMs, templateVM(100000+h, host.Name))
		for v := range f.vms - 1 {
			vm := pvesim.VM{ID: 200000 + h*100 + v, Host: host.Name, Running: true, Config: map[string]any{
				"name": fmt.Sprintf("vm-%d-%d", h, v), "memory": "2048", "cores": 2, "machine": "q35", "ostype": "l26",
				"scsi0": fmt.Sprintf("local-lvm:vm-%d-disk-0,size=10G", 200000+h*100+v),
			}}
			if v == 0 { // one card of each host is somebody else's
				vm.Config["hostpci0"] = "0000:81:00,pcie=1"
			}
			l.VMs = append(l.VMs, vm)
		}
	}
}

func templateVM(vmid int, host string) pvesim.VM {
	return pvesim.VM{ID: vmid, Host: host, Guest: pvesim.Guest{OS: "ubuntu", Agent: true}, Config: map[string]any{
		"name": "ubuntu-22.04", "template": 1, "memory": "2048", "cores": 2, "ostype": "l26", "agent": "1", "boot": "order=scsi0",
		"scsi0": fmt.Sprintf("local-lvm:base-%d-disk-0,size=10G", vmid), "ide2": fmt.Sprintf("local-lvm:vm-%d-cloudinit,media=cdrom", vmid),
		"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "serial0": "socket", "vga": "serial0",
	}}
}

// wanted is a file that wants n GPU workers of the generated fleet.
func wanted(n int) string {
	documents := strings.Replace(header, "{first: 9100, last: 9199}", "{first: 9100, last: 19999}", 1)
	return documents + fmt.Sprintf(`
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
	all  atomic.Int64

	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) RoundTrip(request *http.Request) (*http.Response, error) {
	c.all.Add(1)
	c.mu.Lock()
	c.seen[request.Method+" "+request.URL.RequestURI()]++
	c.mu.Unlock()
	return c.next.RoundTrip(request)
}

func (l *lab) counting() *counter { return &counter{next: l.sim.Transport(), seen: map[string]int{}} }

// TestAnObservationAsksNothingTwice counts what a plan asks: each VM once, a
// small constant for each host, and nothing twice.
func TestAnObservationAsksNothingTwice(t *testing.T) {
	size := fleetSize{hosts: 10, gpus: 5, vms: 25}
	l := newLab(t, size.world)
	wire := l.counting()
	plans, err := l.engine("ops@desk", wanted(8), wire).Plan(context.Background(), engine.PlanOptions{})
	l.must(err)
	if got := plans[0].Summary().Create; got != 8 {
		t.Errorf("%d to create, want 8", got)
	}
	perVM, perHost := 0, 0
	for what, times := range wire.seen {
		if times > 1 {
			t.Errorf("asked %d times: %s", times, what)
		}
		switch {
		case strings.Contains(what, "/qemu/"):
			perVM++
		case strings.Contains(what, "/nodes/"):
			perHost++
		}
	}
	if perVM > size.hosts*size.vms || perHost > 5*size.hosts {
		t.Errorf("%d questions about %d VMs, %d about %d hosts", perVM, size.hosts*size.vms, perHost, size.hosts)
	}
	t.Logf("%d requests: %d for %d VMs, %d for %d hosts, %d for the cluster", wire.all.Load(), perVM, size.hosts*size.vms,
		perHost, size.hosts, int(wire.all.Load())-perVM-perHost)
}

// BenchmarkPlan measures the parts of a plan of 64 GPU workers on the large
// fleet, as ratios within one run: the whole plan against a bare loop that makes
// the same requests with the same parallelism, and the pure part by itself.
func BenchmarkPlan(b *testing.B) {
	l := newFreeLab(b, large.world)
	ctx := context.Background()
	e := l.engine("ops@desk", wanted(64), nil)
	_, err := e.Plan(ctx, engine.PlanOptions{})
	if err != nil {
		b.Fatal(err)
	}
	worlds, err := e.Observe(ctx, false)
	if err != nil {
		b.Fatal(err)
	}
	docs := decode(b, wanted(64))
	in := plan.Input{Hypervisor: &docs.Hypervisors[0], Pools: docs.WorkerPools, Snapshot: worlds[0].Snapshot}
	var whole, bare, pure time.Duration
	var heap uint64
	for b.Loop() {
		began := time.Now()
		if _, err := l.engine("ops@desk", wanted(64), nil).Plan(ctx, engine.PlanOptions{}); err != nil {
			b.Fatal(err)
		}
		whole += time.Since(began)
		heap = max(heap, heapInUse())

		began = time.Now()
		l.bareLoop(worlds[0].Snapshot, 8)
		bare += time.Since(began)

		began = time.Now()
		p := plan.Build(in)
		pure += time.Since(began)
		if p.Summary().Create != 64 {
			b.Fatalf("%d to create", p.Summary().Create)
		}
	}
	n := float64(b.N)
	b.ReportMetric(float64(whole)/float64(bare), "whole/bare")
	b.ReportMetric(float64(pure.Milliseconds())/n, "place+plan-ms")
	b.ReportMetric(float64(whole.Milliseconds())/n, "whole-ms")
	b.ReportMetric(float64(heap)/(1<<20), "heap-MiB")
}

func heapInUse() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse
}

// bareLoop makes the requests of an observation and throws the answers away.
func (l *lab) bareLoop(s *inventory.Snapshot, parallel int) {
	paths := []string{"/version", "/cluster/mapping/pci", "/cluster/resources"}
	for _, h := range s.Hosts {
		for _, what := range []string{"status", "hardware/pci?pci-class-blacklist=", "network", "storage", "qemu"} {
			paths = append(paths, "/nodes/"+h.Name+"/"+what)
		}
	}
	for _, vm := range s.VMs {
		paths = append(paths, fmt.Sprintf("/nodes/%s/qemu/%d/pending", vm.Host, vm.VMID))
	}
	work := make(chan string)
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for path := range work {
				request, _ := http.NewRequest(http.MethodGet, "https://pve1:8006/api2/json"+path, nil)
				request.Header.Set("Authorization", "PVEAPIToken=gpuworker@pve!engine="+canary)
				answer, err := l.sim.Transport().RoundTrip(request)
				if err != nil || answer.StatusCode != http.StatusOK {
					panic(fmt.Sprint(path, answer, err))
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
		})
	}
	for _, path := range paths {
		work <- path
	}
	close(work)
	group.Wait()
}
