package memory

import (
	"context"
	"fmt"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/hypervisor/vmclaim"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Claim implements hypervisor.Claimer. It does not replace a claim in another VM of
// the worker.
func (b *Backend) Claim(ctx context.Context, ref inventory.VMRef, record, _ inventory.Record, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.claim(ctx, ref, record, recall(handle))
	return wait, b.wrap(err, "claim the card", ref)
}

func (b *Backend) claim(ctx context.Context, ref inventory.VMRef, record inventory.Record, m memo) (*hypervisor.Wait, error) {
	card := record.Card
	if card.IsZero() {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: "claim the card", Where: fault.Place{Worker: record.Worker}, Why: "the record names no card"}
	}
	mine, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	look, err := b.look(ctx, card, mine)
	if err != nil {
		return nil, err
	}
	verdict := look.Claim(m.Tries)
	switch verdict.Move {
	case vmclaim.Go:
		return b.writeClaim(ctx, mine, record)
	case vmclaim.Write:
		return orOnceMore(b.writeClaim(ctx, mine, record))
	case vmclaim.Withdraw:
		wait, err := b.withdraw(ctx, mine)
		return b.orPause(wait, err, verdict, m)
	case vmclaim.Pause:
		return b.orPause(nil, nil, verdict, m)
	case vmclaim.Refuse:
	}
	return nil, verdict.Err("claim the card")
}

// orOnceMore is the Wait after a write that the next call must check at once.
func orOnceMore(wait *hypervisor.Wait, err error) (*hypervisor.Wait, error) {
	if wait == nil && err == nil {
		wait = &hypervisor.Wait{}
	}
	return wait, err
}

// orPause is the Wait for another VM's claim.
func (b *Backend) orPause(wait *hypervisor.Wait, err error, verdict vmclaim.Verdict, m memo) (*hypervisor.Wait, error) {
	if wait != nil || err != nil {
		return wait, err
	}
	pause := vmclaim.PauseFor(m.Tries, b.chance())
	m.Tries++
	return m.wait(fmt.Sprintf("%s to give the card up or to get it", verdict.Other), pause), nil
}

// writeClaim writes the claim and its record, if they are missing.
func (b *Backend) writeClaim(ctx context.Context, mine seen, record inventory.Record) (*hypervisor.Wait, error) {
	note := noteOf(mine.record, record, vmclaim.With)
	if note == mine.note {
		return nil, nil
	}
	return b.write(ctx, mine, func(v *vm) { v.note = note })
}

// withdraw takes the claim out of a VM.
func (b *Backend) withdraw(ctx context.Context, found seen) (*hypervisor.Wait, error) {
	note := line(found.record, found.record.Record, vmclaim.Without(found.record.Flags))
	return b.write(ctx, found, func(v *vm) { v.note = note })
}

// look reads all VMs except mine, which was read before.
func (b *Backend) look(ctx context.Context, card pci.CardRef, mine seen) (*vmclaim.Look, error) {
	all, err := b.readAll(ctx)
	if err != nil {
		return nil, err
	}
	look := &vmclaim.Look{Card: card, Mine: mine.claims()}
	for _, found := range all {
		if found.id != mine.id && !found.template {
			look.Others = append(look.Others, found.claims())
		}
	}
	return look, nil
}

// claims is the VM's claim and its cards.
func (s *seen) claims() vmclaim.VM {
	v := vmclaim.VM{Ref: inventory.VMRef{Host: s.host, ID: s.id, Name: s.name, UUID: s.uuid}, Note: s.record}
	if card, ok := cardOf(s.next); ok {
		v.Cards = append(v.Cards, card)
	}
	if card, ok := cardOf(s.applied); ok && s.host != "" {
		v.Cards = append(v.Cards, card)
	}
	return v
}

// Release implements hypervisor.Claimer. Records name no identifier here, so the
// VM is found by its UUID.
func (b *Backend) Release(ctx context.Context, held inventory.Record, card pci.CardRef, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.release(ctx, held, card)
	return wait, b.wrap(err, "release the card", inventory.VMRef{Name: held.Worker})
}

func (b *Backend) release(ctx context.Context, held inventory.Record, card pci.CardRef) (*hypervisor.Wait, error) {
	all, err := b.readAll(ctx)
	if err != nil {
		return nil, err
	}
	for _, found := range all {
		vm, claims := found.observed(), found.claims()
		ownership, _ := vm.Ownership()
		if ownership == inventory.Ours && found.uuid == held.UUID && found.name == held.Worker && claims.Claims(card) {
			return b.withdraw(ctx, found)
		}
	}
	return nil, nil
}

// Attach implements hypervisor.Builder.
func (b *Backend) Attach(ctx context.Context, ref inventory.VMRef, record inventory.Record, card inventory.Card, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.attach(ctx, ref, card, recall(handle))
	return wait, b.wrap(err, "attach the card", ref)
}

func (b *Backend) attach(ctx context.Context, ref inventory.VMRef, card inventory.Card, m memo) (*hypervisor.Wait, error) {
	mine, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	look, err := b.look(ctx, card.Ref, mine)
	if err != nil {
		return nil, err
	}
	verdict := look.Attach(m.Tries)
	switch {
	case verdict.Move == vmclaim.Pause:
		return b.orPause(nil, nil, verdict, m)
	case verdict.Move != vmclaim.Go:
		return nil, verdict.Err("attach the card")
	}
	if has := mine.next.Card; has != nil && *has == card {
		return nil, nil
	}
	return b.write(ctx, mine, func(v *vm) { v.next.Card = &card })
}

// startable proves that no other VM has the card of a VM that is to be started.
func (b *Backend) startable(ctx context.Context, mine seen) error {
	card, ok := cardOf(mine.next)
	if !ok {
		return nil
	}
	look, err := b.look(ctx, card, mine)
	if err != nil {
		return err
	}
	return look.Start().Err("start the VM")
}
