package proxmox

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/pve"
)

// A claim is our record in the description of the card's PCI resource mapping.
// Creating a mapping whose name exists fails, and an update with an old digest of the
// mapping file fails. So each mapping can serve as an atomic, cluster-wide register of
// its card.
// Source: PVE::API2::Cluster::Mapping::PCI, and seen on a real cluster.
//
// Removing a mapping takes no digest. So a register is removed in two steps: the
// record is replaced by a tombstone, which says "releasing", and then the mapping is
// removed. An engine that finds a tombstone of another engine waits for tombstoneLease,
// because the removal may still come. Then it takes the register over with the
// digest, so that only one of several engines succeeds.

// Words on the record's line of a register.
const (
	wordMade      = "made"      // we made this mapping, so we remove it
	wordReleasing = "releasing" // its author is about to remove it
	wordNonce     = "mark-"     // prefix of a random word that makes each tombstone unique
)

// A tombstone must stay unchanged for tombstoneLease, by our own clock, before
// another engine takes the register over. Its author sends the removal within
// removeWithin after writing the tombstone, or writes a new tombstone. removeWithin and
// requestLife, the longest time of a request, make tombstoneLease.
const (
	tombstoneLease = 60 * time.Second
	tombstonePoll  = 5 * time.Second
	removeWithin   = 20 * time.Second
)

// Claim implements hypervisor.Claimer.
func (b *Backend) Claim(ctx context.Context, _ inventory.VMRef, record, previous inventory.Record, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	where := fault.Place{Host: record.Host, Worker: record.Worker, Card: record.Card.BDF()}
	wait, err := b.claimLocked(ctx, record, previous, recall(handle))
	return wait, b.wrap(err, "claim the card", where)
}

// claimLocked claims the card while it holds the claim lock.
func (b *Backend) claimLocked(ctx context.Context, record, previous inventory.Record, m memo) (*hypervisor.Wait, error) {
	device, err := b.device(ctx, record.Card)
	if err != nil {
		return nil, err
	}
	return b.withClaimLock(ctx, m, func() (*hypervisor.Wait, error) { return b.claim(ctx, record, previous, device, m) })
}

// withClaimLock calls do while it holds the lock for our writes of mappings.
func (b *Backend) withClaimLock(ctx context.Context, m memo, do func() (*hypervisor.Wait, error)) (*hypervisor.Wait, error) {
	unlock, err := lock(ctx, b.claimLock)
	switch {
	case err != nil:
		return nil, err
	case unlock == nil: // another claim has had the lock for the whole timeout
		wait := m.wait("other claims to be written first", queuePause)
		wait.Queued = true
		return wait, nil
	}
	defer unlock()
	return do()
}

func (b *Backend) claim(ctx context.Context, record, previous inventory.Record, device pci.Device, m memo) (*hypervisor.Wait, error) {
	register := pve.MappingSpec{
		ID: registerName(record.Card), Description: record.Line(wordMade),
		Map: []string{registerEntry(record.Host, device)},
	}
	if previous.Worker == "" && m == (memo{}) { // the first call, and the plan saw no claim: usually there is no register yet
		return m.retryIfUndecided(b.client.CreateMapping(ctx, register))
	}
	mapping, err := b.client.Mapping(ctx, register.ID)
	switch {
	case pve.KindOf(err) == pve.NotFound:
		return m.retryIfUndecided(b.client.CreateMapping(ctx, register))
	case err != nil:
		return nil, err
	}
	return b.takeRegister(ctx, record, previous, mapping, register, m)
}

// retryIfUndecided handles the result of a write of a register: a Wait when another write
// came first, or when this one may have been carried out. The next read shows which.
func (m memo) retryIfUndecided(err error) (*hypervisor.Wait, error) {
	if !undecided(err) {
		return nil, err
	}
	const pause = 50 * time.Millisecond
	m.Count = min(m.Count+1, 40)
	return m.wait("another claim to be written", time.Duration(m.Count)*pause+rand.N(pause)), nil
}

// undecided reports whether another write of a register came first, or this one may have
// been carried out.
func undecided(err error) bool {
	kind := pve.KindOf(err)
	return kind == pve.Exists || kind == pve.Changed || kind == pve.Locked || kind == pve.NotFound || ambiguous(err)
}

// takeRegister writes the record into an existing mapping.
func (b *Backend) takeRegister(ctx context.Context, record, previous inventory.Record, mapping pve.Mapping, register pve.MappingSpec, m memo) (*hypervisor.Wait, error) {
	note, taken := parseRecord(mapping.Description)
	holder := note.Record
	switch {
	case note.Problem != "":
		return nil, b.unreadableRecord("claim the card", register.ID, note.Problem)
	case taken && note.Has(wordReleasing):
		if b.watched.unchangedFor(mapping) < tombstoneLease {
			return m.wait("worker "+holder.Worker+" to release the card", tombstonePoll), nil
		}
		// The lease is over: we may take the register over, with its digest.
	case taken && holder.WorkerKey != record.WorkerKey:
		return nil, b.claimedBy(holder)
	case taken && !sameVM(holder, record) && !sameVM(holder, previous):
		return nil, b.claimedMeanwhile(holder)
	case taken && holder == record && slices.Equal(mapping.Map, register.Map):
		return nil, nil
	}
	if holder.WorkerKey == record.WorkerKey {
		record.Unknown = holder.Unknown
	}
	return m.retryIfUndecided(b.client.UpdateMapping(ctx, pve.MappingUpdate{
		ID: register.ID, Digest: mapping.Digest, Map: register.Map,
		Description: joinText(note.Rest, record.Line(slices.DeleteFunc(note.Flags, ofRelease)...)),
	}))
}

// ofRelease reports whether a flag is part of a tombstone.
func ofRelease(flag string) bool { return flag == wordReleasing || strings.HasPrefix(flag, wordNonce) }

// unreadableRecord is the error for a register whose record is damaged or too new.
func (b *Backend) unreadableRecord(doing, register, problem string) error {
	return &fault.Error{
		Kind: fault.Exists, Doing: doing, Where: fault.Place{Hypervisor: b.name},
		Why: fmt.Sprintf("PCI resource mapping %s: %s; the card counts as claimed", register, problem),
		Fix: inventory.RecordFix("the description of the mapping"),
	}
}

// sameVM reports whether two records name the same worker, VM number and UUID.
func sameVM(a, b inventory.Record) bool {
	return a.WorkerKey == b.WorkerKey && a.VM == b.VM && a.UUID == b.UUID
}

// claimedMeanwhile is the error for a claim of the same worker that was made after
// the plan. Another run works on the worker now: if we took the claim over, both
// runs would end with an incomplete worker.
func (b *Backend) claimedMeanwhile(holder inventory.Record) error {
	return &fault.Error{
		Kind:  fault.Conflict,
		Doing: "claim the card",
		Where: fault.Place{Hypervisor: b.name, Host: holder.Host, Worker: holder.Worker, Card: holder.Card.BDF()},
		Why:   fmt.Sprintf("%s works on this worker at the same time: the card is now claimed for VM %s", holder.By, holder.VM),
		Fix:   "wait until that run ends, then run the same command again",
	}
}

func (b *Backend) claimedBy(holder inventory.Record) error {
	return &fault.Error{
		Kind:  fault.Exists,
		Doing: "claim the card",
		Where: fault.Place{Hypervisor: b.name, Host: holder.Host, Card: holder.Card.BDF()},
		Why:   fmt.Sprintf("it is claimed by worker %s of %s (VM %s, claimed by %s)", holder.Worker, holder.PoolWords(), holder.VM, holder.By),
		Fix:   "choose another card, or delete that worker first: " + shell.Command("gpuworker delete %s", holder.Worker),
	}
}

// checkClaim returns an error unless the mappings show that the card is claimed for this
// worker and VM number. The UUID may differ: if two runs asked for a clone with this
// number, the VM has the UUID of the run that came first, and the claim may name the
// other one.
func (b *Backend) checkClaim(known mappings, record inventory.Record, card pci.CardRef) error {
	register := registerName(card)
	note, taken := parseRecord(known[register].Description)
	holder, held := note.Record, taken && !note.Has(wordReleasing)
	switch {
	case note.Problem != "":
		return b.unreadableRecord("claim the card", register, note.Problem)
	case held && holder.WorkerKey == record.WorkerKey && holder.VM == record.VM:
		return nil
	case held && holder.WorkerKey == record.WorkerKey:
		return b.claimedMeanwhile(holder)
	case held:
		return b.claimedBy(holder)
	}
	return &fault.Error{
		Kind: fault.Conflict, Doing: "prove the claim on the card",
		Where: fault.Place{Host: card.Host, Card: card.BDF()},
		Why:   "the card is no longer claimed for " + record.Worker, Fix: "run the same command again",
	}
}

// device finds a card on its host.
func (b *Backend) device(ctx context.Context, card pci.CardRef) (pci.Device, error) {
	devices, err := b.devices(ctx, card.Host)
	if err != nil {
		return pci.Device{}, err
	}
	for _, device := range devices {
		if device.Slot == card.Slot {
			return device, nil
		}
	}
	return pci.Device{}, &fault.Error{
		Kind: fault.NotFound, Doing: "find the card", Where: fault.Place{Host: card.Host, Card: card.BDF()},
		Why: "the host has no device at this address", Fix: "gpuworker gpus lists the cards; addresses change when cards are moved",
	}
}

// claims returns all claims in the mappings. It sends no request.
func claims(known mappings, hosts []inventory.Host) []inventory.Claim {
	var all []inventory.Claim
	for name, mapping := range known {
		note, ok := parseRecord(mapping.Description)
		switch {
		case !ok:
		case note.Problem != "":
			all = append(all, claimsWithProblem(mapping, note, hosts)...)
		default:
			all = append(all, validClaim(name, mapping, note, hosts)...)
		}
	}
	slices.SortFunc(all, func(a, b inventory.Claim) int {
		return cmp.Or(a.Card.Compare(b.Card), strings.Compare(a.Register, b.Register))
	})
	return all
}

// validClaim is the claim of a register with a valid record; none when the record names no card.
func validClaim(name string, mapping pve.Mapping, note inventory.Note, hosts []inventory.Host) []inventory.Claim {
	if note.Record.Card.IsZero() {
		return nil
	}
	claim := inventory.Claim{
		Card: note.Record.Card, Register: name, Record: note.Record, Releasing: note.Has(wordReleasing),
	}
	for i := range hosts {
		if hosts[i].Name == claim.Card.Host && hosts[i].Online && !hosts[i].Skipped {
			claim.Stale = staleness(mapping, claim.Card.Host, hosts[i].Device(claim.Card.Slot))
		}
	}
	return []inventory.Claim{claim}
}

// claimsWithProblem are the claims of a register whose record is damaged or too new.
// Its cards are known only from its entries and its name.
func claimsWithProblem(mapping pve.Mapping, note inventory.Note, hosts []inventory.Host) []inventory.Claim {
	var claims []inventory.Claim
	for i := range hosts {
		cards := mappings{mapping.ID: mapping}.cards(mapping.ID, hosts[i].Name)
		if host, slot, ok := parseRegister(mapping.ID); ok && host == strings.ToLower(hosts[i].Name) {
			cards = append(cards, pci.CardRef{Host: hosts[i].Name, Slot: slot})
		}
		slices.SortFunc(cards, pci.CardRef.Compare)
		for _, card := range slices.Compact(cards) {
			claims = append(claims, inventory.Claim{Card: card, Register: mapping.ID, Record: note.Record, Problem: note.Problem})
		}
	}
	return claims
}

func joinText(text, line string) string {
	if text == "" {
		return line
	}
	return text + " " + line
}
