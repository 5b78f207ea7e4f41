// Package plantest makes large worlds and requests for them, for benchmarks and for
// tests of how time and memory grow.
package plantest

import (
	"cmp"
	"fmt"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// Fleet is a large world and its documents: hosts with 25 cards each, one declared GPU
// worker for each card, and some plain workers and foreign VMs.
type Fleet struct {
	Workers int    // number of declared workers, without the plain ones
	Pools   int    // number of their pools, of equal size; 0 means one
	Every   int    // only every n-th worker exists; 0 means all
	Held    bool   // foreign VMs hold all cards, and no GPU worker exists
	Model   string // the declared model; "" is that of all cards
	Named   bool   // the pools name each card by its address
	Plain   bool   // the workers have no GPU

	Template string // the declared template; "" is the existing one
}

// The rest of a fleet follows from its number of GPU workers.
const (
	cardsOfHost = 25
	eachPlain   = 10 // number of GPU workers for each plain worker

	firstOther    = 1000 // identifiers
	firstTemplate = 90000
	firstWorker   = 100000
	firstPlain    = 150000
	lastID        = 199999

	kubeCluster = "rke2-lab"
)

// Input is the planner's input for the fleet.
func (f Fleet) Input() planner.Input {
	d := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{}}}}}
	d.Hypervisors[0].Name = "lab"
	for first := 0; first < f.Workers; first += f.poolSize() {
		name, _ := f.poolOf(first)
		d.WorkerPools = append(d.WorkerPools, f.document(name, f.requests(first, min(first+f.poolSize(), f.Workers)), f.poolSize()))
	}
	d.WorkerPools = append(d.WorkerPools, f.document("w", nil, (f.Workers+eachPlain-1)/eachPlain))
	v1alpha1.SetDefaults(d)
	return planner.Input{
		Hypervisor: &d.Hypervisors[0], Pools: d.WorkerPools, KubeClusters: []string{kubeCluster}, Snapshot: f.observed(),
		Request: plan.Request{Verb: plan.ApplyDocuments},
	}
}

func (f Fleet) document(name string, requests []v1alpha1.GPURequest, size int) v1alpha1.WorkerPool {
	p := v1alpha1.WorkerPool{Spec: v1alpha1.WorkerPoolSpec{Hypervisor: "lab", KubeCluster: kubeCluster, GPUs: requests}}
	p.Name, p.Spec.Template.Name = name, cmp.Or(f.Template, "ubuntu-22.04")
	if replicas := int32(size); len(requests) == 0 {
		p.Spec.Replicas = &replicas
	}
	return p
}

// requests are the entries of spec.gpus for the workers from first to before end.
func (f Fleet) requests(first, end int) []v1alpha1.GPURequest {
	if f.Plain {
		return nil
	}
	if !f.Named {
		return []v1alpha1.GPURequest{{Model: cmp.Or(f.Model, "T4"), Count: int32(end - first)}}
	}
	var requests []v1alpha1.GPURequest
	for n := first; n < end; n++ {
		requests = append(requests, v1alpha1.GPURequest{Host: hostName(n / cardsOfHost), BDF: "0000:" + slotOf(n) + ".0"})
	}
	return requests
}

// poolOf is the pool of the n-th worker, and the worker's number in it.
func (f Fleet) poolOf(n int) (pool string, number int) {
	return fmt.Sprintf("gpu-%d", n/f.poolSize()), n%f.poolSize() + 1
}

func (f Fleet) poolSize() int { return (f.Workers + max(f.Pools, 1) - 1) / max(f.Pools, 1) }

func hostName(h int) string { return fmt.Sprintf("host-%04d", h) }

// slotOf is the address of the n-th worker's card in its host.
func slotOf(n int) string { return fmt.Sprintf("%02x:00", 0x10+n%cardsOfHost*4) }

func (f Fleet) observed() *inventory.Snapshot {
	var parts []inventorytest.Part
	for h := 0; h*cardsOfHost < f.Workers; h++ {
		parts = append(parts, f.host(h)...)
	}
	s := inventorytest.Observed(parts...)
	inventorytest.Range(s, firstWorker, lastID)
	return s
}

// host is one host with its VMs and claims.
func (f Fleet) host(h int) []inventorytest.Part {
	name := hostName(h)
	var cards []*inventorytest.CardBuilder
	parts := []inventorytest.Part{inventorytest.Template(firstTemplate+h, "ubuntu-22.04", name)}
	for n := h * cardsOfHost; n < (h+1)*cardsOfHost; n++ {
		cards = append(cards, inventorytest.T4(slotOf(n)))
		other := inventorytest.VM(firstOther+n, fmt.Sprintf("vdi-%d", n), name).Running()
		if f.Held {
			other.Card(slotOf(n))
		} else if n < f.Workers && n%max(f.Every, 1) == 0 {
			parts = append(parts, f.worker(n, name)...)
		}
		if parts = append(parts, other); n%eachPlain == 0 {
			parts = append(parts, asDeclared(inventorytest.VM(firstPlain+n, fmt.Sprintf("w-%d", n/eachPlain+1), name), "w", v1alpha1.Ephemeral))
		}
	}
	return append(parts, inventorytest.Host(name, cards...).Memory(1024, 100))
}

// worker is the VM of the n-th worker and the claim on its card.
func (f Fleet) worker(n int, host string) []inventorytest.Part {
	pool, number := f.poolOf(n)
	name, id := fmt.Sprintf("%s-%d", pool, number), firstWorker+n
	if f.Plain {
		return []inventorytest.Part{asDeclared(inventorytest.VM(id, name, host), pool, v1alpha1.Ephemeral)}
	}
	return []inventorytest.Part{
		inventorytest.Claim(host, slotOf(n), name, pool, kubeCluster, id).Newest(),
		asDeclared(inventorytest.VM(id, name, host), pool, v1alpha1.SemiPersistent).Card(slotOf(n)),
	}
}

// asDeclared is a running worker as declared by a pool with default values.
func asDeclared(vm *inventorytest.VMBuilder, pool string, lifecycle v1alpha1.Lifecycle) *inventorytest.VMBuilder {
	return vm.Ours(pool, kubeCluster, string(lifecycle)).Running().Machine(func(m *inventory.Machine) {
		m.Cores, m.MemoryMiB, m.Firmware = 4, 8192, inventory.FirmwareUEFI
		m.OnBoot, m.Protection, m.Agent = true, lifecycle == v1alpha1.SemiPersistent, true
		m.ChangeNIC(0, func(n *inventory.NIC) { n.Address = "dhcp" })
	})
}
