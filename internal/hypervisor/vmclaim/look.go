package vmclaim

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// claimWord is the claim: a word without a value on the record's line of a VM's note.
// It claims the card that the record names.
const claimWord = "claims"

// VM is the data of a VM that says which card it claims or has. Templates are left
// out: they never start.
type VM struct {
	Ref   inventory.VMRef
	Note  inventory.Note
	Cards []pci.CardRef // in its running or pending configuration
}

// has reports whether the card is in the VM's configuration.
func (v *VM) has(card pci.CardRef) bool { return slices.Contains(v.Cards, card) }

// Claims reports whether the VM claims the card. A claim with an unusable record counts
// for the card that the VM has or, when it has none, for every card: a newer program
// may understand the record and rely on it.
func (v *VM) Claims(card pci.CardRef) bool {
	switch {
	case !v.Note.Has(claimWord):
		return false
	case v.Note.Problem == "":
		return v.Note.Record.Card == card
	}
	return len(v.Cards) == 0 || v.has(card)
}

// Kept are the flags of a record's line that stay when another record replaces it. A
// claim stays only for the same card: another card has to be claimed first.
func Kept(flags []string, was, now inventory.Record) []string {
	if was.Card == now.Card {
		return flags
	}
	return Without(flags)
}

// With are the flags of a record's line with the claim.
func With(flags []string) []string {
	if slices.Contains(flags, claimWord) {
		return flags
	}
	return append(slices.Clone(flags), claimWord)
}

// Without are the flags of a record's line without the claim.
func Without(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(flag string) bool { return flag == claimWord })
}

// Claims are all claims of VMs for a snapshot, by card. cards are the existing cards.
func Claims(vms []VM, cards []pci.CardRef) []inventory.Claim {
	var all []inventory.Claim
	for _, card := range cards {
		for i := range vms {
			if vms[i].Claims(card) {
				all = append(all, vms[i].claim(card))
			}
		}
	}
	for i := range vms {
		card := vms[i].Note.Record.Card
		if !card.IsZero() && vms[i].Claims(card) && !slices.Contains(cards, card) {
			stale := vms[i].claim(card)
			stale.Stale = "the card does not exist any more"
			all = append(all, stale)
		}
	}
	return all
}

func (v *VM) claim(card pci.CardRef) inventory.Claim {
	return inventory.Claim{
		Card: card, Register: v.Ref.ID, Record: v.Note.Record, Problem: v.Note.Problem,
	}
}
