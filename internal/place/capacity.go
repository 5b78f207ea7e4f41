package place

import (
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Capacity keeps account of what a world has and of what a plan gave away of it.
type Capacity struct {
	world   *inventory.Snapshot
	cards   map[pci.CardRef]string // who gets it
	memory  map[string]int         // MiB by host
	storage map[storageKey]int64   // bytes
	workers map[poolOnHost]int
	given   int // how often something was given away

	templates *templates
	cardsSeen *cardsSeen
	reasons   map[reasons][]finding.Finding

	requireFacts bool
}

type storageKey struct{ host, storage string } // host is "" for shared storage

type poolOnHost struct{ pool, kubeCluster, host string }

// NewCapacity is all that the world has, with nothing given away.
func NewCapacity(s *inventory.Snapshot) *Capacity {
	return &Capacity{
		world: s, cards: map[pci.CardRef]string{}, memory: map[string]int{}, storage: map[storageKey]int64{}, workers: map[poolOnHost]int{},
		templates: &templates{s, map[templateName]*fitting{}}, cardsSeen: newCardsSeen(), reasons: map[reasons][]finding.Finding{},
	}
}

// RequireFacts refuses cards of hosts that did not say all of themselves.
func (r *Capacity) RequireFacts() *Capacity {
	r.requireFacts = true
	return r
}

// Template finds the one template for VMs on the host: one that is there, else one on
// storage that this host shares. It is nil when a finding fails.
func (r *Capacity) Template(t v1alpha1.Template, h *inventory.Host) (*inventory.VM, []finding.Finding) {
	return r.templates.find(t, h)
}

// Cards are those of a host that fit a selector, given away or not, in the order of their
// addresses. The list must not be changed.
func (r *Capacity) Cards(needs CardRequirements, h *inventory.Host) []pci.Device {
	return r.cardsSeen.fitting(needs, h)
}

// Reserve gives a card to a worker. ok is false when another one has it.
func (r *Capacity) Reserve(card pci.CardRef, worker string) (ok bool) {
	if holder := r.cards[card]; holder != "" && holder != worker {
		return false
	}
	r.cards[card] = worker
	r.given++
	return true
}

// promise gives memory of a host away: to a VM that is going to be started.
func (r *Capacity) promise(host string, memoryMiB int) {
	r.memory[host] += memoryMiB
	r.given++
}

// Settle counts a worker as living on a host, so that others of its pool are
// spread over the other hosts first.
func (r *Capacity) Settle(worker Holder, host string) {
	r.workers[poolOnHost{worker.Pool, worker.KubeCluster, host}]++
	r.given++
}

// Place finds the best place for a worker and gives it away: on the host with
// the fewest workers of its pool, then with the most free memory, then the first
// by name and address. Without a place it returns the reason for every host and
// card that was looked at, the most useful first.
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

// Keep judges whether a VM that is there can be started where it is: its card,
// its memory, its CPUs and its bridge. When it can, its memory is given away.
// Template and storage matter no more.
func (r *Capacity) Keep(w Requirements, name string) (notes, refusals []finding.Finding) {
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
			blocking, more := r.JudgeCard(host, *host.Device(w.Card.Ref.Slot), w.Holder)
			refusals, notes = slices.Concat(refusals, blocking), slices.Concat(notes, more)
		}
	}
	if len(refusals) == 0 {
		r.promise(name, r.extra(w, name))
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

// take gives a place away.
func (r *Capacity) take(w Requirements, o option) Placement {
	if !o.placement.Card.IsZero() {
		r.Reserve(o.placement.Card, w.Worker)
	}
	r.promise(o.placement.Host, r.extra(w, o.placement.Host))
	r.Settle(w.Holder, o.placement.Host)
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

// freed is the memory in MiB that comes back when the worker's own VM stops.
func (r *Capacity) freed(w Requirements, host string) int {
	if own := r.world.VM(w.VM); w.VM != "" && own != nil && own.Running && own.Host == host {
		return own.Applied.MemoryMiB
	}
	return 0
}

// extra is the memory in MiB that a worker takes beyond what its own VM gives
// back. What it gives back beyond that is no gift to others: they may start
// before it stops.
func (r *Capacity) extra(w Requirements, host string) int {
	return max(0, w.MemoryMiB-r.freed(w, host))
}
