package place

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Room keeps account of what a world has and of what a plan gave away of it.
type Room struct {
	world   *inventory.Snapshot
	cards   map[card]string // who gets it
	memory  map[string]int  // MiB by host
	storage map[shelf]int64 // bytes
	workers map[crew]int
}

type card struct {
	host string
	slot pci.Slot
}

type shelf struct{ host, storage string } // host is "" for shared storage

type crew struct{ pool, kubeCluster, host string }

// NewRoom is all that the world has, with nothing given away.
func NewRoom(s *inventory.Snapshot) *Room {
	return &Room{world: s, cards: map[card]string{}, memory: map[string]int{}, storage: map[shelf]int64{}, workers: map[crew]int{}}
}

// Reserve gives a card to a worker. ok is false when another one has it.
func (r *Room) Reserve(host string, slot pci.Slot, worker string) (ok bool) {
	if holder := r.cards[card{host, slot}]; holder != "" && holder != worker {
		return false
	}
	r.cards[card{host, slot}] = worker
	return true
}

// Promise gives memory of a host away: to a VM that is going to be started.
func (r *Room) Promise(host string, memoryMiB int) { r.memory[host] += memoryMiB }

// Settle counts a worker as living on a host, so that others of its pool are
// spread over the other hosts first.
func (r *Room) Settle(who Who, host string) { r.workers[crew{who.Pool, who.KubeCluster, host}]++ }

// option is one host, or one card of a host, for a worker.
type option struct {
	seat     Seat
	volumes  []Volume
	refusals []finding.Finding
	notes    []finding.Finding
}

// Place finds the best place for a worker and gives it away: on the host with
// the fewest workers of its pool, then with the most free memory, then the first
// by name and address. Without a place it returns the reason for every host and
// card that was looked at, the most useful first.
func (r *Room) Place(w Want) (seat Seat, notes, refusals []finding.Finding) {
	options := r.options(w)
	slices.SortStableFunc(options, func(a, b option) int { return r.better(w, a, b) })
	for _, o := range options {
		if len(o.refusals) == 0 {
			r.take(w, o)
			return o.seat, o.notes, nil
		}
		refusals = append(refusals, o.refusals...)
	}
	if len(refusals) == 0 {
		refusals = []finding.Finding{noHosts(r.world)}
	}
	return Seat{}, nil, sortRefusals(refusals)
}

func noHosts(s *inventory.Snapshot) finding.Finding {
	return finding.Finding{
		ID: finding.HostUnreadable, Verdict: finding.Unknown, Layer: finding.LayerHost, Where: at(s, ""),
		Reason: "the hypervisor shows no hosts", Fix: "give the login Sys.Audit on /; gpuworker check shows what it lacks",
	}
}

// Keep judges whether a VM that is there can be started where it is: its card,
// its memory, its CPUs and its bridge. When it can, its memory is given away.
// Template and storage matter no more.
func (r *Room) Keep(w Want, name string) (notes, refusals []finding.Finding) {
	if f := CheckHost(r.world, name); Blocks(f) {
		return nil, []finding.Finding{f}
	}
	host := r.world.Host(name)
	findings := []finding.Finding{
		CheckMemory(r.world, host, w.MemoryMiB, r.memory[name], r.freed(w, name)),
		CheckCPUs(r.world, host, w.Cores), CheckNetwork(r.world, host, w.NIC),
	}
	if w.Card != nil {
		there := CheckCardThere(r.world, host, *w.Card.Slot)
		findings = append(findings, there)
		if !Blocks(there) {
			findings = append(findings, r.JudgeCard(host, *host.Device(*w.Card.Slot), w.Who)...)
		}
	}
	refusals, notes = Split(findings)
	if len(refusals) == 0 {
		r.Promise(name, r.extra(w, name))
	}
	return notes, sortRefusals(refusals)
}

// Choices counts the places that are open to a worker now. Whoever has the
// fewest should choose first.
func (r *Room) Choices(w Want) int {
	count := 0
	for _, o := range r.options(w) {
		if len(o.refusals) == 0 {
			count++
		}
	}
	return count
}

func (r *Room) better(w Want, a, b option) int {
	crewOf := func(o option) int { return r.workers[crew{w.Pool, w.KubeCluster, o.seat.Host}] }
	return cmp.Or(
		cmp.Compare(crewOf(a), crewOf(b)),
		cmp.Compare(r.freeMemory(b.seat.Host), r.freeMemory(a.seat.Host)),
		cmp.Compare(a.seat.Host, b.seat.Host),
		compareSlots(a.seat.Slot, b.seat.Slot),
	)
}

func compareSlots(a, b *pci.Slot) int {
	if a == nil || b == nil {
		return 0
	}
	return a.Compare(*b)
}

// freeMemory is in MiB.
func (r *Room) freeMemory(name string) int64 {
	host := r.world.Host(name)
	if host == nil {
		return 0
	}
	return (host.MemoryTotal-host.MemoryUsed)/mib - int64(r.memory[name])
}

func (r *Room) take(w Want, o option) {
	if o.seat.Slot != nil {
		r.Reserve(o.seat.Host, *o.seat.Slot, w.Worker)
	}
	r.Promise(o.seat.Host, r.extra(w, o.seat.Host))
	r.Settle(w.Who, o.seat.Host)
	for _, v := range o.volumes {
		r.storage[r.shelf(o.seat.Host, v.Storage)] += v.Bytes
	}
}

func (r *Room) shelf(host, storage string) shelf {
	if h := r.world.Host(host); h != nil {
		if s := h.Storage(storage); s != nil && s.Shared {
			return shelf{"", storage}
		}
	}
	return shelf{host, storage}
}

// freed is the memory in MiB that comes back when the worker's own VM stops.
func (r *Room) freed(w Want, host string) int {
	if own := r.world.VM(w.VMID); w.VMID != 0 && own != nil && own.Running && own.Host == host {
		return own.Applied.MemoryMiB
	}
	return 0
}

// extra is the memory in MiB that a worker takes beyond what its own VM gives
// back. What it gives back beyond that is no gift to others: they may start
// before it stops.
func (r *Room) extra(w Want, host string) int { return max(0, w.MemoryMiB-r.freed(w, host)) }

// options are all places to look at, in order of host and address.
func (r *Room) options(w Want) []option {
	switch {
	case w.Card == nil:
		var options []option
		for _, name := range w.hosts(r.world) {
			options = append(options, r.tryHost(w, name))
		}
		return options
	case w.Card.Slot != nil:
		return []option{r.tryExact(w)}
	}
	var options []option
	for _, name := range w.hosts(r.world) {
		options = append(options, r.tryCards(w, name)...)
	}
	return options
}

// tryHost judges all that a worker asks of a host beside a card.
func (r *Room) tryHost(w Want, name string) option {
	o := option{seat: Seat{Host: name}}
	if f := CheckHost(r.world, name); Blocks(f) {
		o.refusals = append(o.refusals, f)
		return o
	}
	host := r.world.Host(name)
	memory := CheckMemory(r.world, host, w.MemoryMiB, r.memory[name], r.freed(w, name))
	findings := []finding.Finding{memory, CheckCPUs(r.world, host, w.Cores), CheckNetwork(r.world, host, w.NIC)}
	template, more := FindTemplate(r.world, w.Template, host)
	findings = append(findings, more...)
	if template != nil {
		o.volumes = Volumes(w, template)
		for _, v := range o.volumes {
			findings = append(findings, CheckStorage(r.world, host, v, r.storage[r.shelf(name, v.Storage)]))
		}
	}
	o.refusals, o.notes = Split(findings)
	o.refusals = slices.Compact(o.refusals) // memory and CPUs may be unknown for one reason
	o.seat.Template, o.seat.Reason = template, memory.Reason
	return o
}

// tryCard judges one card and, when it may be had, its host.
func (r *Room) tryCard(w Want, host *inventory.Host, device pci.Device) option {
	refusals, notes := Split(r.JudgeCard(host, device, w.Who))
	o := option{seat: Seat{Host: host.Name}}
	if len(refusals) == 0 {
		o = r.tryHost(w, host.Name)
		o.seat.Reason = fmt.Sprintf("alone in group %d, %s", device.Functions[0].Group, o.seat.Reason)
	}
	gpu, _ := device.GPU()
	o.seat.Slot, o.seat.Model = &device.Slot, gpu.ShortName()
	o.refusals, o.notes = append(refusals, o.refusals...), append(notes, o.notes...)
	for i := range o.refusals {
		if o.refusals[i].Where.Card == "" {
			o.refusals[i].Where.Card = Address(device)
		}
	}
	return o
}

// JudgeCard judges all that stands between a worker and a card, this plan
// included.
func (r *Room) JudgeCard(host *inventory.Host, device pci.Device, who Who) []finding.Finding {
	taker := r.cards[card{host.Name, device.Slot}]
	if taker != "" && taker != who.Worker {
		return []finding.Finding{{
			ID: finding.CardUsed, Verdict: finding.Fail, Layer: finding.LayerCard, Where: atCard(r.world, host.Name, device),
			Reason: "used by " + taker,
			Fix:    "there are fewer cards than workers that want one: add a card, or lower count",
		}}
	}
	findings := []finding.Finding{CheckIOMMU(r.world, host)}
	if !Blocks(findings[0]) {
		findings = append(findings, CheckCardAlone(r.world, host, device))
	}
	findings = append(findings, CheckCardFree(r.world, host, device, who)...)
	return append(findings, CheckCardDriver(r.world, host, device))
}

// tryExact judges the card that a document names by its place.
func (r *Room) tryExact(w Want) option {
	name, slot := w.Card.Host, *w.Card.Slot
	o := option{seat: Seat{Host: name, Slot: &slot}}
	refuse := func(f finding.Finding) option {
		if f.Where.Card == "" {
			f.Where.Card = slot.String()
		}
		o.refusals = append(o.refusals, f)
		return o
	}
	if f := CheckHost(r.world, name); Blocks(f) {
		return refuse(f)
	}
	if len(w.Hosts) > 0 && !slices.Contains(w.Hosts, name) {
		return refuse(notAllowed(r.world, w, name))
	}
	host := r.world.Host(name)
	if f := CheckCardThere(r.world, host, slot); Blocks(f) {
		return refuse(f)
	}
	return r.tryCard(w, host, *host.Device(slot))
}

func notAllowed(s *inventory.Snapshot, w Want, host string) finding.Finding {
	return finding.Finding{
		ID: finding.HostNotAllowed, Verdict: finding.Fail, Layer: finding.LayerHost, Where: at(s, host),
		Reason: fmt.Sprintf("the card is on %s, and spec.hosts of pool %s leaves that host out", host, w.Pool),
		Fix:    "add the host to spec.hosts, or name another card",
	}
}

// tryCards judges the cards of a host that a selector fits.
func (r *Room) tryCards(w Want, name string) []option {
	refuse := func(f finding.Finding) []option {
		return []option{{seat: Seat{Host: name}, refusals: []finding.Finding{f}}}
	}
	if f := CheckHost(r.world, name); Blocks(f) {
		return refuse(f)
	}
	host := r.world.Host(name)
	if f, is := unreadable(r.world, host, "PCI devices"); is {
		return refuse(f)
	}
	var options []option
	for _, device := range host.GPUs() {
		if w.Card.Matches(name, device) {
			options = append(options, r.tryCard(w, host, device))
		}
	}
	if len(options) == 0 {
		return refuse(finding.Finding{
			ID: finding.CardNoMatch, Verdict: finding.Fail, Layer: finding.LayerCard, Where: at(r.world, name),
			Reason: fmt.Sprintf("no %s here; the host has %s", w.Card, gpuList(host)),
			Fix:    "correct the model, or allow a host that has one: gpuworker gpus",
		})
	}
	return options
}
