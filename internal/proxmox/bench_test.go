package proxmox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// bench is a simulated cluster with one engine, and with root, who stands for a person.
type bench struct {
	*testing.T
	sim  *pvesim.Sim
	b    driver
	root *pve.Client
	wire *recorder // of the engine
}

func newBench(t *testing.T, change ...func(*pvesim.World)) *bench {
	t.Helper()
	w := world(t)
	for _, c := range change {
		c(&w)
	}
	sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
	must(t, err)
	t.Cleanup(sim.Close)
	root, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "homelab-root", Transport: sim.Transport()})
	must(t, err)
	wire := &recorder{next: sim.Transport()}
	return &bench{T: t, sim: sim, b: openOver(t, wire, tokenOf(t, w, "gpuworker@pve!engine")), root: root, wire: wire}
}

// another opens another engine for the same cluster.
func (l *bench) another() driver {
	l.Helper()
	return open(l.T, l.sim, tokenOf(l.T, world(l.T), "gpuworker@pve!engine"))
}

func (l *bench) await(task pve.Task, err error) {
	l.Helper()
	must(l.T, err)
	err = task.Wait(context.Background())
	must(l.T, err)
}

// plain is the record of a worker without a card.
func plain(n int) inventory.Record {
	r := gpuRecord()
	r.Worker, r.Pool, r.Card, r.Lifecycle = fmt.Sprintf("web-%d", n), "web", pci.CardRef{}, "Ephemeral"
	r.VM, r.UUID = idOf(9110+n), fmt.Sprintf("0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4b%02d", n)
	return r
}

// worker makes a worker without a card, stopped.
func (l *bench) worker(n int) inventory.VMRef {
	l.Helper()
	r := plain(n)
	must(l.T, l.b.Clone(context.Background(), order(r)))
	must(l.T, l.b.Configure(context.Background(), r, inventory.Machine{Cores: 1, MemoryMiB: 1024, CPU: "host", Type: inventory.TypeI440FX, NICs: []inventory.NIC{{Network: "vmbr0"}}, Agent: true}))
	return refOf(r)
}

// running returns the running tasks of a kind on a host.
func (l *bench) running(host, kind string) (tasks []pve.TaskInfo) {
	l.Helper()
	active, err := l.root.Tasks(context.Background(), host, pve.TaskFilter{Source: "active", Type: kind})
	must(l.T, err)
	for _, task := range active {
		if task.Running() {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// most counts something repeatedly until done is closed, and returns the highest count.
func most(done <-chan struct{}, count func() int) (highest int) {
	for {
		highest = max(highest, count())
		select {
		case <-done:
			return highest
		case <-time.After(700 * time.Millisecond):
		}
	}
}

// sent counts the engine's requests with a prefix, "POST /nodes/pve1/qemu/9000/clone".
func (l *bench) sent(prefix string) (n int) {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	for _, said := range l.wire.said {
		if strings.HasPrefix(said, prefix) {
			n++
		}
	}
	return n
}

// call calls a step once; it must not fail.
func (l *bench) call(do step, handle hypervisor.Handle) *hypervisor.Wait {
	l.Helper()
	wait, err := once(context.Background(), do, handle)
	must(l.T, err)
	return wait
}

// waiting calls a step once; it must return a Wait.
func (l *bench) waiting(do step, handle hypervisor.Handle) *hypervisor.Wait {
	l.Helper()
	wait := l.call(do, handle)
	if wait == nil {
		l.Fatal("it is done, where it should wait")
	}
	return wait
}

// taking changes how long operations take.
func taking(change func(*pvesim.Timings)) func(*pvesim.World) {
	return func(w *pvesim.World) {
		timings := pvesim.DefaultTimings()
		change(&timings)
		w.Timings = &timings
	}
}
