package place

import (
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Capacity is what a world has, less what a plan has allocated of it.
type Capacity struct {
	world       *inventory.Snapshot
	cards       map[pci.CardRef]string // name of the worker that gets the card
	memory      map[string]int         // allocated MiB by host
	storage     map[storageKey]int64   // allocated bytes
	workers     map[poolOnHost]int     // how many there are
	allocations int                    // how often something was allocated

	templates *templates
	cardCache *cardCache
	reasons   map[reasonsKey][]finding.Finding

	requireFacts bool
}

type storageKey struct{ host, storage string } // host is "" for shared storage

type poolOnHost struct{ pool, kubeCluster, host string }

// NewCapacity is the whole capacity of the world, with nothing allocated.
func NewCapacity(s *inventory.Snapshot) *Capacity {
	return &Capacity{
		world: s, cards: map[pci.CardRef]string{}, memory: map[string]int{}, storage: map[storageKey]int64{}, workers: map[poolOnHost]int{},
		templates: &templates{s, map[templateName]*fitting{}}, cardCache: newCardCache(), reasons: map[reasonsKey][]finding.Finding{},
	}
}

// RequireFacts makes placement refuse cards on hosts without complete host facts.
func (r *Capacity) RequireFacts() *Capacity {
	r.requireFacts = true
	return r
}

// Template finds the template for VMs on the host: one on the host itself, else one
// on storage that the host shares. It is nil when a finding blocks.
func (r *Capacity) Template(t v1alpha1.Template, h *inventory.Host) (*inventory.VM, []finding.Finding) {
	return unlessBlocked(r.templates.find(t, h))
}

// Cards are the cards of a host that match a selector, allocated or not, in the order
// of their addresses. The caller must not change the list.
func (r *Capacity) Cards(needs CardRequirements, h *inventory.Host) []pci.Device {
	return r.cardCache.fitting(needs, h)
}

// Reserve allocates a card to a worker. ok is false when another worker has it.
func (r *Capacity) Reserve(card pci.CardRef, worker string) (ok bool) {
	if holder := r.cards[card]; holder != "" && holder != worker {
		return false
	}
	r.cards[card] = worker
	r.allocations++
	return true
}

// allocateMemory allocates memory of a host to a VM that will be started.
func (r *Capacity) allocateMemory(host string, memoryMiB int) {
	r.memory[host] += memoryMiB
	r.allocations++
}

// CountWorker counts a worker of a host, so that further workers of its pool go to
// other hosts first.
func (r *Capacity) CountWorker(worker Holder, host string) {
	r.workers[poolOnHost{worker.Pool, worker.KubeCluster, host}]++
	r.allocations++
}

// Place finds the best place for a worker and allocates it: on the host with the
// fewest workers of its pool, then with the most free memory, then the first by name
// and address. If there is none, it returns the reason for every host and card, the
// most useful first.
func (r *Capacity) Place(w Requirements) (placement Placement, notes, refusals []finding.Finding) {
	var reasons [][]finding.Finding
	for o := range r.options(w) {
		if len(o.refusals) == 0 {
			return r.take(w, o), o.notes, nil
		}
		reasons = append(reasons, o.refusals)
	}
	if len(reasons) == 0 {
		reasons = [][]finding.Finding{{noHosts(r.world)}}
	}
	return Placement{}, nil, sortRefusals(reasons...)
}

func noHosts(s *inventory.Snapshot) finding.Finding {
	return finding.New(finding.HostUnreadable, finding.Unknown, at(s, "")).
		WithReason("the hypervisor shows no hosts").
		WithFix(s.Advise(inventory.SeeHosts, inventory.Subject{}))
}

// CheckStart checks whether an existing VM can be started where it is: its card, memory,
// CPUs and networks. If so, its memory is allocated. Template and storage are not
// checked.
func (r *Capacity) CheckStart(w Requirements, name string) (notes, refusals []finding.Finding) {
	if f := CheckHost(r.world, name); f.Blocks() {
		return nil, []finding.Finding{f}
	}
	host := r.world.Host(name)
	refusals, notes = Split(append([]finding.Finding{
		CheckMemory(r.world, host, w.MemoryMiB, r.memory[name], r.freed(w, name)), CheckCPUs(r.world, host, w.Cores),
	}, CheckNetworks(r.world, host, w.NICs)...))
	if w.Card != nil {
		there := CheckCardThere(r.world, host, w.Card.Ref.Slot)
		if there.Blocks() {
			refusals = append(refusals, there)
		} else {
			device := *host.Device(w.Card.Ref.Slot)
			blocking, more := r.JudgeCard(host, device, w.Holder)
			mismatches, hints := Split(CheckDriver(r.world, host, device, w.Card.Driver))
			refusals, notes = slices.Concat(refusals, blocking, mismatches), slices.Concat(notes, more, hints)
		}
	}
	if len(refusals) == 0 {
		r.allocateMemory(name, r.extra(w, name))
	}
	return notes, sortRefusals(refusals)
}

// freeMemory is in MiB.
func (r *Capacity) freeMemory(name string) int64 {
	host := r.world.Host(name)
	if host == nil {
		return 0
	}
	return (host.MemoryTotal-host.MemoryUsed)/mib - int64(r.memory[name])
}

// take allocates a place.
func (r *Capacity) take(w Requirements, o option) Placement {
	if !o.placement.Card.IsZero() {
		r.Reserve(o.placement.Card, w.Worker)
	}
	r.allocateMemory(o.placement.Host, r.extra(w, o.placement.Host))
	r.CountWorker(w.Holder, o.placement.Host)
	for _, v := range o.volumes {
		r.storage[r.storageKey(o.placement.Host, v.Storage)] += v.Bytes
	}
	return o.placement
}

func (r *Capacity) storageKey(host, storage string) storageKey {
	if h := r.world.Host(host); h != nil {
		if s := h.Storage(storage); s != nil && s.Shared {
			return storageKey{"", storage}
		}
	}
	return storageKey{host, storage}
}

// freed is the memory in MiB that is freed when the worker's own VM stops.
func (r *Capacity) freed(w Requirements, host string) int {
	if own := r.world.VM(w.VM); w.VM != "" && own != nil && own.Running && own.Host == host {
		return own.Applied.MemoryMiB
	}
	return 0
}

// extra is the memory in MiB that a worker needs in addition to what its own VM
// frees. It is never negative: memory that the VM frees is not available to others,
// which may start before the VM stops.
func (r *Capacity) extra(w Requirements, host string) int {
	return max(0, w.MemoryMiB-r.freed(w, host))
}
