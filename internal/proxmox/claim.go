package proxmox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/pve"
)

// A claim is our record in the description of the card's PCI resource mapping.
// Creating a mapping whose name is taken fails, and updating one takes the
// digest of the whole mapping file: together an atomic register for the whole
// cluster. Source: PVE::API2::Cluster::Mapping::PCI, and seen on a real cluster.
//
// Removing a mapping takes no digest. So it is done in two steps: the record is
// swapped for one that says "releasing", and then the mapping is removed.
// Whoever meets such a record leaves it alone for a while (tombstoneLease), for
// its author may be about to remove it, and only then takes the register over,
// by digest, so that of several who wait one wins.

// Words on the record's line of a register.
const (
	wordMade      = "made"      // we made this mapping, so we remove it
	wordReleasing = "releasing" // its author is about to remove it
)

// tombstoneLease is how long a releasing record must stay unchanged, by our own
// clock, before somebody else takes it over. An author sends the removal at once
// after the swap or not at all, and no request lives longer than the proxy's
// 30 s (pve-http-server).
const (
	tombstoneLease = 60 * time.Second
	tombstoneLook  = 5 * time.Second
)

// Claim implements apply.Claimer.
func (b *Backend) Claim(ctx context.Context, record, was inventory.Record) error {
	where := fault.Place{Host: record.Host, Worker: record.Worker, Card: record.Card}
	done, err := b.claimTurn(ctx)
	if err != nil {
		return b.wrap(err, "claim the card", where)
	}
	defer done()
	slot, err := pci.ParseSlot(record.Card)
	if err != nil {
		return b.wrap(err, "claim the card", where)
	}
	device, err := b.device(ctx, record.Host, slot)
	if err != nil {
		return b.wrap(err, "claim the card", where)
	}
	return b.wrap(b.claim(ctx, record, was, device), "claim the card", where)
}

func (b *Backend) claim(ctx context.Context, record, was inventory.Record, device pci.Device) error {
	name := registerName(record.Host, device.Slot)
	entry := registerEntry(record.Host, device)
	create := func() error {
		return b.client.CreateMapping(ctx, pve.MappingSpec{ID: name, Description: record.Line(wordMade), Map: []string{entry}})
	}
	const tries = 40
	var last error
	if was.Worker == "" { // most often there is no register yet
		if last = create(); last == nil || !lost(last) {
			return last
		}
	}
	for try := range tries {
		mapping, err := b.client.Mapping(ctx, name)
		var done bool
		switch {
		case pve.KindOf(err) == pve.NotFound:
			last = create()
			done = last == nil
		case err != nil:
			return err
		default:
			done, last = b.takeRegister(ctx, record, was, mapping, name, entry)
		}
		if done || last != nil && !lost(last) {
			return last
		}
		if last != nil {
			if err := pause(ctx, time.Duration(try+1)*50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return last
}

// lost reports whether a write of a register came second to another one, or may
// have been carried out: the next read tells.
func lost(err error) bool {
	kind := pve.KindOf(err)
	return kind == pve.Exists || kind == pve.Changed || kind == pve.Locked || kind == pve.NotFound || ambiguous(err)
}

// takeRegister writes the record into a mapping that is there. done is false
// when the register must be looked at again.
func (b *Backend) takeRegister(ctx context.Context, record, was inventory.Record, mapping pve.Mapping, name, entry string) (done bool, err error) {
	note, taken := inventory.ParseRecord(mapping.Description)
	holder := note.Record
	switch {
	case note.Problem != "":
		return true, b.notToBeWritten(name, note.Problem)
	case taken && note.Has(wordReleasing):
		left, err := b.outlived(ctx, name, mapping)
		if left == nil || err != nil {
			return false, err
		}
		mapping = *left // its author is gone: the register is ours to take, by digest
	case taken && !sameWorker(holder, record):
		return true, b.claimedBy(holder)
	case taken && !sameVM(holder, record) && !sameVM(holder, was):
		return true, b.claimedMeanwhile(holder)
	case taken && holder == record && slices.Equal(mapping.Map, []string{entry}):
		return true, nil
	}
	if sameWorker(holder, record) {
		record.Unknown = holder.Unknown
	}
	flags := slices.DeleteFunc(note.Flags, func(flag string) bool { return flag == wordReleasing })
	err = b.client.UpdateMapping(ctx, pve.MappingUpdate{
		ID: name, Digest: mapping.Digest, Map: []string{entry},
		Description: prependText(note.Rest, record.Line(flags...)),
	})
	return err == nil, err
}

// notToBeWritten is the error for a register whose record must not be believed.
func (b *Backend) notToBeWritten(register, problem string) error {
	return &fault.Error{
		Kind: fault.Exists, Doing: "claim the card", Where: fault.Place{Hypervisor: b.name},
		Why: fmt.Sprintf("PCI resource mapping %s: %s; the card counts as taken", register, problem),
		Fix: inventory.RecordFix("the description of the mapping"),
	}
}

// sameWorker tells whether two records are of one worker: its VM may have been
// replaced.
func sameWorker(a, b inventory.Record) bool {
	return a.Worker == b.Worker && a.Pool == b.Pool && a.KubeCluster == b.KubeCluster
}

// sameVM tells whether two records are of one worker and one VM: the number and
// UUID that it has or will have.
func sameVM(a, b inventory.Record) bool {
	return sameWorker(a, b) && a.VMID == b.VMID && a.UUID == b.UUID
}

// claimedMeanwhile is the error for a claim of the same worker that was not
// there when the plan was made. Its author is at work on the worker now: to
// take the claim over would leave both with half a worker.
func (b *Backend) claimedMeanwhile(holder inventory.Record) error {
	return &fault.Error{
		Kind:  fault.Conflict,
		Doing: "claim the card",
		Where: fault.Place{Hypervisor: b.name, Host: holder.Host, Worker: holder.Worker, Card: holder.Card},
		Why:   fmt.Sprintf("%s works on this worker at the same time: the card was claimed for VM %d meanwhile", holder.By, holder.VMID),
		Fix:   "wait until that run is over, then run the same command again",
	}
}

func (b *Backend) claimedBy(holder inventory.Record) error {
	return &fault.Error{
		Kind:  fault.Exists,
		Doing: "claim the card",
		Where: fault.Place{Hypervisor: b.name, Host: holder.Host, Card: holder.Card},
		Why:   fmt.Sprintf("it is claimed by worker %s of pool %s (VM %d, KubeCluster %s, claimed by %s)", holder.Worker, holder.Pool, holder.VMID, holder.KubeCluster, holder.By),
		Fix:   "choose another card, or delete that worker first: " + shell.Command("gpuworker delete %s", holder.Worker),
	}
}

// outlived waits until a register that is being released is gone. When it stays
// as it is for the whole lease, its author died: the register is returned as it
// was read last. nil means that it is gone or changed, so look again.
func (b *Backend) outlived(ctx context.Context, name string, tombstone pve.Mapping) (*pve.Mapping, error) {
	for waited := time.Duration(0); waited < tombstoneLease; waited += tombstoneLook {
		if err := pause(ctx, tombstoneLook); err != nil {
			return nil, err
		}
		now, err := b.client.Mapping(ctx, name)
		if err != nil || now.Description != tombstone.Description {
			return nil, nil
		}
		tombstone = now
	}
	return &tombstone, nil
}

// Release implements apply.Claimer.
func (b *Backend) Release(ctx context.Context, held inventory.Record, host string, slot pci.Slot) error {
	where := fault.Place{Host: host, Worker: held.Worker, Card: slot.String()}
	done, err := b.claimTurn(ctx)
	if err != nil {
		return b.wrap(err, "release the card", where)
	}
	defer done()
	return b.wrap(b.release(ctx, held, registerName(host, slot)), "release the card", where)
}

func (b *Backend) release(ctx context.Context, held inventory.Record, name string) error {
	const tries = 40
	var last error
	for try := range tries {
		mapping, err := b.client.Mapping(ctx, name)
		if pve.KindOf(err) == pve.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		note, taken := inventory.ParseRecord(mapping.Description)
		if !taken || note.Problem != "" || !sameVM(note.Record, held) {
			return nil
		}
		if !note.Has(wordMade) {
			last = b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Map: mapping.Map, Description: note.Rest})
		} else if last = b.bury(ctx, mapping, note, name); last == nil {
			return nil
		}
		if last != nil && pve.KindOf(last) != pve.Changed && pve.KindOf(last) != pve.Locked && !ambiguous(last) {
			return last
		}
		if err := pause(ctx, time.Duration(try+1)*50*time.Millisecond); err != nil {
			return err
		}
	}
	return last
}

// bury marks our own register as being released and removes it. The mark is
// what makes the removal safe: from then on nobody else claims the card by this
// register until it is gone.
func (b *Backend) bury(ctx context.Context, mapping pve.Mapping, note inventory.Note, name string) error {
	if !note.Has(wordReleasing) {
		update := pve.MappingUpdate{
			ID: name, Digest: mapping.Digest, Map: mapping.Map,
			Description: prependText(note.Rest, note.Record.Line(append(note.Flags, wordReleasing)...)),
		}
		if err := b.client.UpdateMapping(ctx, update); err != nil {
			return err
		}
	}
	return b.client.DeleteMapping(ctx, name)
}

// holdsClaim proves by the mappings that the card is claimed for this worker and
// VM number. The UUID may be that of a run whose clone came second to the clone
// of the run before it, under the same number.
func (b *Backend) holdsClaim(known mappings, record inventory.Record, slot pci.Slot) error {
	register := registerName(record.Host, slot)
	note, taken := inventory.ParseRecord(known[register].Description)
	holder, held := note.Record, taken && !note.Has(wordReleasing)
	switch {
	case note.Problem != "":
		return b.notToBeWritten(register, note.Problem)
	case held && sameWorker(holder, record) && holder.VMID == record.VMID:
		return nil
	case held && sameWorker(holder, record):
		return b.claimedMeanwhile(holder)
	case held:
		return b.claimedBy(holder)
	}
	return &fault.Error{
		Kind: fault.Conflict, Doing: "prove the claim on the card",
		Where: fault.Place{Host: record.Host, Card: slot.String()},
		Why:   "its register no longer says that the card is claimed for " + record.Worker, Fix: "run the same command again",
	}
}

// device is one card of a host.
func (b *Backend) device(ctx context.Context, host string, slot pci.Slot) (pci.Device, error) {
	devices, err := b.devices(ctx, host)
	if err != nil {
		return pci.Device{}, err
	}
	for _, device := range devices {
		if device.Slot == slot {
			return device, nil
		}
	}
	return pci.Device{}, &fault.Error{
		Kind: fault.NotFound, Doing: "find the card", Where: fault.Place{Host: host, Card: slot.String()},
		Why: "the host has no such device any more", Fix: "gpuworker gpus lists what is there; addresses change when cards are moved",
	}
}

// claims reads all claims out of the mappings. Pure.
func claims(known mappings, hosts []inventory.Host) []inventory.Claim {
	var all []inventory.Claim
	for name, mapping := range known {
		note, ok := inventory.ParseRecord(mapping.Description)
		switch {
		case !ok:
		case note.Problem != "":
			all = append(all, unbelieved(mapping, note, hosts)...)
		default:
			all = append(all, believed(name, mapping, note, hosts)...)
		}
	}
	slices.SortFunc(all, func(a, b inventory.Claim) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), a.Slot.Compare(b.Slot), strings.Compare(a.Register, b.Register))
	})
	return all
}

// believed is the claim that a register holds; none when its record names no card.
func believed(name string, mapping pve.Mapping, note inventory.Note, hosts []inventory.Host) []inventory.Claim {
	slot, err := pci.ParseSlot(note.Record.Card)
	if err != nil {
		return nil
	}
	claim := inventory.Claim{
		Host: note.Record.Host, Slot: slot, Register: name, Record: note.Record, Releasing: note.Has(wordReleasing),
	}
	for i := range hosts {
		if hosts[i].Name == claim.Host && hosts[i].Online {
			claim.Stale = staleness(mapping, claim.Host, hosts[i].Device(slot))
		}
	}
	return []inventory.Claim{claim}
}

// unbelieved are the cards that a register stands for whose record must not be
// believed: by its entries, and by its name, which is all that is left to tell.
func unbelieved(mapping pve.Mapping, note inventory.Note, hosts []inventory.Host) []inventory.Claim {
	var claims []inventory.Claim
	for i := range hosts {
		slots := mappings{mapping.ID: mapping}.slots(mapping.ID, hosts[i].Name)
		if host, slot, ok := parseRegister(mapping.ID); ok && host == strings.ToLower(hosts[i].Name) && !slices.Contains(slots, slot) {
			slots = append(slots, slot)
		}
		for _, slot := range slots {
			claims = append(claims, inventory.Claim{
				Host: hosts[i].Name, Slot: slot, Register: mapping.ID, Record: note.Record, Problem: note.Problem,
			})
		}
	}
	return claims
}

func prependText(text, line string) string {
	if text == "" {
		return line
	}
	return text + " " + line
}
