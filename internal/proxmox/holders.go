package proxmox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// Before a card is attached, and before a VM that has one is started, no other VM of
// the host may have the card. The host's own list of VMs is up to date; that of the
// cluster may be ten seconds late. Neither contains a digest, so a changed
// configuration is only seen by reading it. Each read stays valid for configsLast.
// All workers of a host share the reads, and Observe adds to them.
//
// A VM is read again at once when the list shows that it may be another VM than the
// one that was read, and when it may have the card.
// See docs/adr/0012-other-vms-are-read-once-a-minute.md.
const configsLast = 60 * time.Second

// oursLast is the same for our own VMs. Claims already exclude two of them having one
// card, unless a person changes one by hand; they are few, and read often anyway.
const oursLast = 5 * time.Second

// hostCache is what the backend remembers of one host.
type hostCache struct {
	reads *shared[map[int]cachedVM]

	mu      sync.Mutex
	ticks   uint64           // orders reads and writes
	vms     map[int]cachedVM // the last read of each
	written map[int]uint64   // tick of the last write of each VM: older reads are discarded

	devices   []pci.Device
	devicesAt time.Time
}

// cachedVM is the part of a VM's configuration that the cache keeps.
type cachedVM struct {
	readStart
	name     string
	template bool
	running  bool                         // it ran when it was listed last
	cards    map[string]pve.PendingOption // the options that pass devices through
	claims   pci.CardRef                  // the card that its record names, if any
	ours     bool                         // it has a record, valid or not
}

// readStart is when a read began.
type readStart struct {
	tick uint64
	at   time.Time
}

// cache returns the cache of a host.
func (b *Backend) cache(host string) *hostCache {
	b.cachesMu.Lock()
	defer b.cachesMu.Unlock()
	if b.caches[host] == nil {
		b.caches[host] = &hostCache{reads: newShared[map[int]cachedVM](), vms: map[int]cachedVM{}, written: map[int]uint64{}}
	}
	return b.caches[host]
}

func (v *hostCache) begin() readStart {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ticks++
	return readStart{v.ticks, time.Now()}
}

// remember keeps the result of a read, unless there is a later read, or the VM was
// written after the read began.
func (v *hostCache) remember(vmid int, began readStart, found observedVM) {
	h := cachedVM{readStart: began, name: found.next["name"], template: found.vm.Template}
	for key, option := range found.config.Options {
		if strings.HasPrefix(key, "hostpci") {
			if h.cards == nil {
				h.cards = map[string]pve.PendingOption{}
			}
			h.cards[key] = option
		}
	}
	if found.vm.Record != nil {
		h.claims = found.vm.Record.Card
	}
	h.ours = found.vm.Record != nil || found.vm.RecordProblem != ""
	v.mu.Lock()
	defer v.mu.Unlock()
	if began.tick > v.written[vmid] && began.tick > v.vms[vmid].tick {
		h.running = v.vms[vmid].running
		v.vms[vmid] = h
	}
}

// forget removes a VM that was written or is gone, so that it is read again.
func (v *hostCache) forget(vmid int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ticks++
	v.written[vmid] = v.ticks
	delete(v.vms, vmid)
}

// unread returns the listed VMs that have to be read. VMs that are not listed are
// removed from the cache.
func (v *hostCache) unread(listed []pve.VMStatus, now time.Time) []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	there := map[int]bool{}
	var unread []int
	for _, vm := range listed {
		there[vm.VMID] = true
		h, known := v.vms[vm.VMID]
		if !known || h.ours && now.Sub(h.at) > oursLast || h.outdated(vm, now) {
			unread = append(unread, vm.VMID)
			delete(v.vms, vm.VMID)
		}
	}
	for vmid := range v.vms {
		if !there[vmid] {
			delete(v.vms, vmid)
		}
	}
	return unread
}

// outdated reports whether the read of a VM is too old, or the listed VM may be
// another one: its name differs, or it became a template, or it was started or
// stopped since. A VM without a name is listed as "VM 101".
func (h cachedVM) outdated(vm pve.VMStatus, now time.Time) bool {
	age := now.Sub(h.at)
	named := vm.Name == h.name || h.name == "" && vm.Name == fmt.Sprintf("VM %d", vm.VMID)
	restarted := vm.Running() && time.Duration(vm.Uptime)*time.Second < age
	return age > configsLast || !named || vm.Template != h.template || restarted || h.running && !vm.Running()
}

// of returns the cached reads of the listed VMs.
func (v *hostCache) of(listed []pve.VMStatus) map[int]cachedVM {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[int]cachedVM{}
	for _, vm := range listed {
		if h, known := v.vms[vm.VMID]; known {
			h.running = vm.Running()
			v.vms[vm.VMID], all[vm.VMID] = h, h
		}
	}
	return all
}

// residents returns the VMs of a host, from the cache where it is up to date.
func (b *Backend) residents(ctx context.Context, host string) (map[int]cachedVM, error) {
	cache := b.cache(host)
	all, err := cache.reads.get(ctx, func(ctx context.Context) (map[int]cachedVM, error) {
		listed, err := b.client.VMs(ctx, host)
		if err != nil {
			return nil, err
		}
		if err := b.readAll(ctx, host, cache.unread(listed, time.Now())); err != nil {
			return nil, err
		}
		return cache.of(listed), nil
	})
	return maps.Clone(all), err
}

// readAll reads VMs of a host into its cache. A VM that is gone is not an error.
func (b *Backend) readAll(ctx context.Context, host string, vmids []int) error {
	return forEach(ctx, vmids, func(int) string { return host }, func(ctx context.Context, vmid int) error {
		_, err := b.read(ctx, host, vmid, nil)
		if pve.KindOf(err) == pve.NotFound {
			return nil
		}
		return err
	})
}

// cardCheck is the result of guard: the proof that cards are claimed for a VM and that
// no other VM has them.
type cardCheck struct {
	known   mappings
	until   time.Time // how long the proof is valid
	running bool      // the VM runs; also set when guard returns an error
}

// valid reports whether the reads are still recent enough.
func (f cardCheck) valid() bool { return !time.Now().After(f.until) }

// guard proves that the cards are claimed for the worker, and then that no other VM
// has them in its configuration. The mappings are read last: otherwise another VM
// could have the card by a mapping that is too new to be known.
func (b *Backend) guard(ctx context.Context, record inventory.Record, cardsOf func(mappings) ([]pci.CardRef, error)) (cardCheck, error) {
	known, err := b.mappingsNow(ctx)
	if err != nil {
		return cardCheck{}, err
	}
	cards, claimErr := cardsOf(known)
	for _, card := range cards {
		claimErr = cmp.Or(claimErr, b.checkClaim(known, record, card))
	}
	residents, err := b.residents(ctx, record.Host)
	if err != nil {
		return cardCheck{}, err
	}
	check := cardCheck{until: time.Now().Add(configsLast), running: residents[number(record.VM)].running}
	delete(residents, number(record.VM))
	if claimErr != nil {
		return check, claimErr
	}
	if check.known, err = b.mappingsNow(ctx); err != nil {
		return check, err
	}
	for vmid, h := range residents {
		if oldest := h.at.Add(configsLast); oldest.Before(check.until) {
			check.until = oldest
		}
		for _, card := range cards {
			if err := b.refuseHolder(ctx, card, vmid, h, check.known); err != nil {
				return check, err
			}
		}
	}
	return check, nil
}

// mentions reports whether a VM has a card, or names it in its record: then it may
// be given the card at any moment.
func (h cachedVM) mentions(card pci.CardRef, known mappings) bool {
	vm := inventory.VM{Cards: attachments(pve.PendingConfig{Options: h.cards}, card.Host, known)}
	return !h.claims.IsZero() && h.claims.Slot == card.Slot || vm.Holds(card)
}

// refuseHolder reads a VM that mentions the card again, and then the mappings. It
// returns an error when the VM has the card.
func (b *Backend) refuseHolder(ctx context.Context, card pci.CardRef, vmid int, h cachedVM, known mappings) error {
	if h.template || !h.mentions(card, known) {
		return nil
	}
	found, err := b.read(ctx, card.Host, vmid, nil)
	if pve.KindOf(err) == pve.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if known, err = b.mappingsNow(ctx); err != nil {
		return err
	}
	vm := inventory.VM{Cards: attachments(found.config, card.Host, known)}
	if found.vm.Template || !vm.Holds(card) {
		return nil
	}
	return &fault.Error{
		Kind: fault.Exists, Doing: "make sure that no other VM has the card",
		Where: fault.Place{Hypervisor: b.name, Host: card.Host, Card: card.BDF()},
		Why:   fmt.Sprintf("VM %d %q has it in its configuration", vmid, found.vm.Name),
		Fix:   fmt.Sprintf("remove the card from VM %d, or choose another card", vmid),
	}
}

// tooSlow is the Wait for a host whose answers take longer than they stay valid.
func tooSlow(host string) *hypervisor.Wait {
	return &hypervisor.Wait{
		For:       fmt.Sprintf("a faster answer of %s: reading its VMs takes longer than %s", host, configsLast),
		CallAfter: time.Second,
	}
}

// mappingsNow reads all PCI resource mappings of the cluster; concurrent callers
// share one read.
func (b *Backend) mappingsNow(ctx context.Context) (mappings, error) {
	return b.mapped.get(ctx, b.mappings)
}

// mappings reads all PCI resource mappings of the cluster.
func (b *Backend) mappings(ctx context.Context) (mappings, error) {
	list, err := b.client.Mappings(ctx)
	if err != nil {
		return nil, err
	}
	known := mappings{}
	for _, mapping := range list {
		known[mapping.ID] = mapping
	}
	return known, nil
}

// devices returns the PCI devices of a host, from a read that is not older than configsLast.
func (b *Backend) devices(ctx context.Context, host string) ([]pci.Device, error) {
	cache := b.cache(host)
	cache.mu.Lock()
	known, at := cache.devices, cache.devicesAt
	cache.mu.Unlock()
	if known != nil && time.Since(at) <= configsLast {
		return slices.Clone(known), nil
	}
	began := time.Now()
	found, err := b.client.PCIDevices(ctx, host)
	if err != nil {
		return nil, err
	}
	devices := pci.Devices(functions(found))
	cache.setDevices(devices, began)
	return devices, nil
}

func (v *hostCache) setDevices(devices []pci.Device, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.devices, v.devicesAt = devices, at
}
