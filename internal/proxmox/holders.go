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

// Before a card is attached, and before a VM that has one is started, no other
// VM of the host may have it. The host's own list of VMs tells which there are,
// as they are now; the list of the cluster may be ten seconds late. Neither
// carries a digest, so that a configuration has changed can only be seen by
// reading it. What was read stays good for configsLast: all workers of a host
// share it, and a look at the cluster is such a read too.
//
// A VM is read again at once when the list shows that it may be another one than
// was read, and when what was read speaks of the card in question.
// See docs/adr/0012-other-vms-are-read-once-a-minute.md.
const configsLast = 60 * time.Second

// oursLast is the same for VMs of ours. Claims exclude them, but for what a person
// does to one by hand; they are few, and mostly read within this time anyway.
const oursLast = 5 * time.Second

// hostView is what the backend remembers of one host.
type hostView struct {
	looks *shared[map[int]holding]

	mu      sync.Mutex
	ticks   uint64          // orders reads and writes
	vms     map[int]holding // as read last
	written map[int]uint64  // when a VM was written last: older reads are worth nothing

	devices   []pci.Device
	devicesAt time.Time
}

// holding is what matters here of a VM's configuration.
type holding struct {
	moment
	name     string
	template bool
	up       bool                         // it ran, when it was listed last
	cards    map[string]pve.PendingOption // the options that pass devices through
	claims   pci.CardRef                  // the card that its record names, when it has one
	ours     bool                         // it has a record, believed or not
}

// moment is when a read began.
type moment struct {
	tick uint64
	at   time.Time
}

// view is what is remembered of a host.
func (b *Backend) view(host string) *hostView {
	b.viewing.Lock()
	defer b.viewing.Unlock()
	if b.views[host] == nil {
		b.views[host] = &hostView{looks: newShared[map[int]holding](), vms: map[int]holding{}, written: map[int]uint64{}}
	}
	return b.views[host]
}

func (v *hostView) begin() moment {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ticks++
	return moment{v.ticks, time.Now()}
}

// remember keeps what a read showed, unless a later one did, or the VM was
// written since it began.
func (v *hostView) remember(vmid int, began moment, found seen) {
	h := holding{moment: began, name: found.next["name"], template: found.vm.Template}
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
		h.up = v.vms[vmid].up
		v.vms[vmid] = h
	}
}

// forget makes a VM one that has to be read: it was written, or is gone.
func (v *hostView) forget(vmid int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ticks++
	v.written[vmid] = v.ticks
	delete(v.vms, vmid)
}

// unread are the listed VMs of which nothing good is remembered. Of those that
// are not listed nothing is kept.
func (v *hostView) unread(listed []pve.VMStatus, now time.Time) []int {
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

// outdated reports whether what was read of a VM is too old, or may be that of
// another VM than the one listed: with another name, made a template, or started
// or stopped since. A VM without a name is listed as "VM 101".
func (h holding) outdated(vm pve.VMStatus, now time.Time) bool {
	age := now.Sub(h.at)
	named := vm.Name == h.name || h.name == "" && vm.Name == fmt.Sprintf("VM %d", vm.VMID)
	restarted := vm.Running() && time.Duration(vm.Uptime)*time.Second < age
	return age > configsLast || !named || vm.Template != h.template || restarted || h.up && !vm.Running()
}

// of is what is remembered of the listed VMs.
func (v *hostView) of(listed []pve.VMStatus) map[int]holding {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[int]holding{}
	for _, vm := range listed {
		if h, known := v.vms[vm.VMID]; known {
			h.up = vm.Running()
			v.vms[vm.VMID], all[vm.VMID] = h, h
		}
	}
	return all
}

// residents lists the VMs of a host and reads those that have to be read.
func (b *Backend) residents(ctx context.Context, host string) (map[int]holding, error) {
	view := b.view(host)
	all, err := view.looks.get(ctx, func(ctx context.Context) (map[int]holding, error) {
		listed, err := b.client.VMs(ctx, host)
		if err != nil {
			return nil, err
		}
		if err := b.readAll(ctx, host, view.unread(listed, time.Now())); err != nil {
			return nil, err
		}
		return view.of(listed), nil
	})
	return maps.Clone(all), err
}

// readAll reads VMs of a host into its view. One that is gone is no error.
func (b *Backend) readAll(ctx context.Context, host string, vmids []int) error {
	return spread(ctx, vmids, func(int) string { return host }, func(ctx context.Context, vmid int) error {
		_, err := b.read(ctx, host, vmid, nil)
		if pve.KindOf(err) == pve.NotFound {
			return nil
		}
		return err
	})
}

// freedom is the proof that cards are claimed for a VM and that no other VM has
// them.
type freedom struct {
	known mappings
	until time.Time // the proof is good
	up    bool      // the VM runs; told also when there is no proof
}

// good reports whether what was read is still young enough to act on.
func (f freedom) good() bool { return !time.Now().After(f.until) }

// guard proves that the claims on cards are ours, and then that no other VM has
// them in its configuration. The mappings are read last: a VM that was given the
// card by a mapping made just now would otherwise name one that we do not know.
func (b *Backend) guard(ctx context.Context, record inventory.Record, cardsOf func(mappings) ([]pci.CardRef, error)) (freedom, error) {
	known, err := b.mappingsNow(ctx)
	if err != nil {
		return freedom{}, err
	}
	cards, claimErr := cardsOf(known)
	for _, card := range cards {
		claimErr = cmp.Or(claimErr, b.holdsClaim(known, record, card))
	}
	residents, err := b.residents(ctx, record.Host)
	if err != nil {
		return freedom{}, err
	}
	free := freedom{until: time.Now().Add(configsLast), up: residents[number(record.VM)].up}
	delete(residents, number(record.VM))
	if claimErr != nil {
		return free, claimErr
	}
	if free.known, err = b.mappingsNow(ctx); err != nil {
		return free, err
	}
	for vmid, h := range residents {
		if oldest := h.at.Add(configsLast); oldest.Before(free.until) {
			free.until = oldest
		}
		for _, card := range cards {
			if err := b.refuseHolder(ctx, card, vmid, h, free.known); err != nil {
				return free, err
			}
		}
	}
	return free, nil
}

// speaksOf reports whether a VM has a card, or has it in its record: such a VM of
// ours may be about to be given it.
func (h holding) speaksOf(card pci.CardRef, known mappings) bool {
	vm := inventory.VM{Cards: attachments(pve.PendingConfig{Options: h.cards}, card.Host, known)}
	return !h.claims.IsZero() && h.claims.Slot == card.Slot || vm.Holds(card)
}

// refuseHolder reads a VM that speaks of the card again, with the mappings as
// they are after that, and refuses the card when the VM has it.
func (b *Backend) refuseHolder(ctx context.Context, card pci.CardRef, vmid int, h holding, known mappings) error {
	if h.template || !h.speaksOf(card, known) {
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
		Kind: fault.Exists, Doing: "make sure that nobody else has the card",
		Where: fault.Place{Hypervisor: b.name, Host: card.Host, Card: card.BDF()},
		Why:   fmt.Sprintf("VM %d %q has it in its configuration", vmid, found.vm.Name),
		Fix:   fmt.Sprintf("take the card out of VM %d, or choose another card", vmid),
	}
}

// tooSlow is the Wait for a host that takes longer to answer than its answers are
// good for.
func tooSlow(host string) *hypervisor.Wait {
	return &hypervisor.Wait{
		For:   fmt.Sprintf("a faster answer: what %s tells of its VMs is older than %s before it can be used", host, configsLast),
		Again: time.Second,
	}
}

// freshMappings reads all PCI resource mappings of the cluster; all who ask at
// once share one answer.
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

// devices are the PCI devices of a host, as seen by a look that is not older
// than what is known of its VMs.
func (b *Backend) devices(ctx context.Context, host string) ([]pci.Device, error) {
	view := b.view(host)
	view.mu.Lock()
	known, at := view.devices, view.devicesAt
	view.mu.Unlock()
	if known != nil && time.Since(at) <= configsLast {
		return slices.Clone(known), nil
	}
	began := time.Now()
	found, err := b.client.PCIDevices(ctx, host)
	if err != nil {
		return nil, err
	}
	devices := pci.Devices(functions(found))
	view.setDevices(devices, began)
	return devices, nil
}

func (v *hostView) setDevices(devices []pci.Device, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.devices, v.devicesAt = devices, at
}
