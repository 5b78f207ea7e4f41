package place

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// option is one host, or one card of a host, for a worker.
type option struct {
	placement Placement
	volumes   []Volume
	refusals  []finding.Finding
	notes     []finding.Finding
}

// options yields all possible places, the best first. Each is judged only when it is
// needed, and usually only the first one is.
func (r *Capacity) options(w Requirements) iter.Seq[option] {
	return func(yield func(option) bool) {
		if w.Card != nil && !w.Card.Ref.IsZero() {
			yield(r.tryExact(w))
			return
		}
		for _, name := range r.ranked(w) {
			if w.Card == nil {
				if !yield(r.tryHost(w, name)) {
					return
				}
				continue
			}
			for o := range r.tryCards(w, name) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// ranked are the names of the hosts that may run the worker, the best first.
func (r *Capacity) ranked(w Requirements) []string {
	names := w.hosts(r.world)
	ranks := make(map[string]rank, len(names))
	for _, name := range names {
		ranks[name] = r.rank(w, name)
	}
	slices.SortFunc(names, func(a, b string) int { return ranks[a].compare(ranks[b]) })
	return names
}

// rank says how good a host is for a worker.
type rank struct {
	workers int   // of the same pool on the host
	memory  int64 // free, in MiB
	name    string
}

func (r *Capacity) rank(w Requirements, name string) rank {
	return rank{r.workers[poolOnHost{w.Pool, w.KubeCluster, name}], r.freeMemory(name), name}
}

// compare puts the better one first.
func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(a.workers, b.workers), cmp.Compare(b.memory, a.memory), cmp.Compare(a.name, b.name))
}

// tryHost checks a host against all requirements except the card.
func (r *Capacity) tryHost(w Requirements, name string) option {
	o := option{placement: Placement{Host: name}}
	if f := CheckHost(r.world, name); f.Blocks() {
		o.refusals = append(o.refusals, f)
		return o
	}
	host := r.world.Host(name)
	memory := CheckMemory(r.world, host, w.MemoryMiB, r.memory[name], r.freed(w, name))
	findings := append([]finding.Finding{memory, CheckCPUs(r.world, host, w.Cores)}, CheckNetworks(r.world, host, w.NICs)...)
	findings = append(findings, CheckSeedStorage(r.world, host, w)...)
	template, more := r.TemplateFor(w, host)
	findings = append(findings, more...)
	if template != nil {
		o.volumes = Volumes(w, template)
		findings = append(findings, CheckReach(r.world, host, w, template)...)
		for _, v := range o.volumes {
			findings = append(findings, CheckStorage(r.world, host, v, r.storage[r.storageKey(name, v.Storage)]))
		}
	}
	o.refusals, o.notes = Split(findings)
	o.refusals = slices.Compact(o.refusals) // memory and CPUs may be unknown for the same reason
	o.placement.Template, o.placement.Reason = template, memory.Reason
	return o
}

// tryCard checks one card and, when the card can be used, its host.
func (r *Capacity) tryCard(w Requirements, host *inventory.Host, device pci.Device, onHost func() option) option {
	refusals, notes := r.JudgeCard(host, device, w.Holder)
	mismatches, more := Split(CheckDriver(r.world, host, device, w.Card.Driver))
	refusals, notes = slices.Concat(refusals, mismatches), slices.Concat(notes, more)
	if len(refusals) > 0 {
		return option{refusals: ofCard(device, refusals)}
	}
	o := onHost()
	if o.refusals = ofCard(device, o.refusals); len(o.refusals) > 0 {
		return o
	}
	gpu, _ := device.GPU()
	o.placement.Card, o.placement.Model = host.Ref(device), gpu.ShortName()
	alone := fmt.Sprintf("card alone in IOMMU group %d", device.Functions[0].Group)
	if r.world.Capabilities.HidesGroups {
		alone = "its group is not shown"
	}
	o.placement.Reason = alone + ", " + o.placement.Reason
	o.notes = slices.Concat(notes, o.notes)
	return o
}

// ofCard are the refusals, each with the card as its place.
func ofCard(device pci.Device, refusals []finding.Finding) []finding.Finding {
	withoutCard := func(f finding.Finding) bool { return f.Where.Card.IsZero() }
	if !slices.ContainsFunc(refusals, withoutCard) {
		return refusals
	}
	named := slices.Clone(refusals)
	for i := range named {
		if withoutCard(named[i]) {
			named[i].Where.Card = device.Address()
		}
	}
	return named
}

// tryExact checks a card that a document names by its CardRef.
func (r *Capacity) tryExact(w Requirements) option {
	name, slot := w.Card.Ref.Host, w.Card.Ref.Slot
	o := option{placement: Placement{Host: name, Card: w.Card.Ref}}
	refuse := func(f finding.Finding) option {
		if f.Where.Card.IsZero() {
			f.Where.Card = w.Card.Ref.BDF()
		}
		o.refusals = append(o.refusals, f)
		return o
	}
	if f := CheckHost(r.world, name); f.Blocks() {
		return refuse(f)
	}
	if len(w.Hosts) > 0 && !slices.Contains(w.Hosts, name) {
		return refuse(notAllowed(r.world, w, name))
	}
	host := r.world.Host(name)
	if f := CheckCardThere(r.world, host, slot); f.Blocks() {
		return refuse(f)
	}
	return r.tryCard(w, host, *host.Device(slot), func() option { return r.tryHost(w, name) })
}

func notAllowed(s *inventory.Snapshot, w Requirements, host string) finding.Finding {
	return finding.New(finding.HostNotAllowed, finding.Fail, at(s, host)).
		WithReason(fmt.Sprintf("the card is on %s, but spec.hosts of pool %s does not list that host", host, w.Pool)).
		WithFix("add the host to spec.hosts, or name another card")
}

// tryCards checks the cards of a host that match the selector, in the order of their
// addresses.
func (r *Capacity) tryCards(w Requirements, name string) iter.Seq[option] {
	refuse := func(f finding.Finding) iter.Seq[option] {
		return slices.Values([]option{{placement: Placement{Host: name}, refusals: []finding.Finding{f}}})
	}
	if f := CheckHost(r.world, name); f.Blocks() {
		return refuse(f)
	}
	host := r.world.Host(name)
	if f, is := unreadable(r.world, host, "PCI devices"); is {
		return refuse(f)
	}
	cards := r.Cards(*w.Card, host)
	if len(cards) == 0 {
		return refuse(finding.New(finding.CardNoMatch, finding.Fail, at(r.world, name)).
			WithReason(fmt.Sprintf("no %s here; the host has %s", w.Card, gpuModels(host))).
			WithFix("correct the model, or allow a host that has one: gpuworker gpus"))
	}
	return func(yield func(option) bool) {
		onHost := sync.OnceValue(func() option { return r.tryHost(w, name) }) // the same for all cards
		for _, device := range cards {
			if !yield(r.tryCard(w, host, device, onHost)) {
				return
			}
		}
	}
}
