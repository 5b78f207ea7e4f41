package place

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// CardState says in a word or two how a card is.
type CardState string

// The states of a card.
const (
	CardReady    CardState = "ready"    // a plan takes it for a worker that names it
	CardInUse    CardState = "in use"   // by a worker of ours
	CardReserved CardState = "reserved" // claimed for a worker that has no VM yet
	CardTaken    CardState = "taken"    // by a VM that is not ours
	CardBlocked  CardState = "blocked"  // it cannot be attached without harm
	CardNoIOMMU  CardState = "no IOMMU"
	CardUnknown  CardState = "unknown" // nobody could look
)

// CardVerdict is how a card is for a worker that names it and has nothing yet.
type CardVerdict struct {
	State CardState
	// Holders are the VMs that have it, Claim is what reserves it while none has.
	Holders []*inventory.VM
	Claim   *inventory.Claim
	// Reason says why it is so, in a few words; "" for a card that is ready.
	Reason string
}

// JudgeCards judges the GPUs of a host, in their order. When the cards of the host
// cannot be seen there is none, and blind says why.
func (r *Capacity) JudgeCards(host *inventory.Host) (verdicts []CardVerdict, blind string) {
	f := CheckHost(r.world, host.Name)
	if f.Blocks() {
		return nil, fmt.Sprintf("the host is offline (%s)", f.ID)
	}
	if f, is := unreadable(r.world, host, "PCI devices"); is && len(host.Devices) == 0 {
		why, _ := gap(host, "PCI devices")
		return nil, cmp.Or(why, f.Reason)
	}
	for _, device := range host.GPUs() {
		verdicts = append(verdicts, r.cardState(host, device))
	}
	return verdicts, ""
}

// cardState sums up what a plan would find. Of several reasons that counts which
// says most about whose the card is, then which is hardest to fix.
func (r *Capacity) cardState(host *inventory.Host, device pci.Device) CardVerdict {
	blocking, _ := r.JudgeCard(host, device, Holder{})
	if len(blocking) == 0 {
		return CardVerdict{State: CardReady}
	}
	if holders := r.world.Holders(host.Ref(device)); len(holders) > 0 {
		return heldCard(holders)
	}
	for _, state := range []CardState{CardReserved, CardNoIOMMU, CardBlocked, CardUnknown} {
		at := slices.IndexFunc(blocking, func(f finding.Finding) bool { return stateOf(f) == state })
		if at < 0 {
			continue
		}
		verdict := CardVerdict{State: state, Reason: r.briefly(host, device, blocking[at])}
		if state == CardReserved {
			verdict.Claim = r.world.Claim(host.Ref(device))
		}
		return verdict
	}
	return CardVerdict{State: CardUnknown, Reason: blocking[0].Reason} // each finding has a state
}

// stateOf is how a card is for which this was found.
func stateOf(f finding.Finding) CardState {
	switch {
	case f.Verdict == finding.Unknown, f.ID == finding.HostFactsNone, f.ID == finding.HostFactsOld:
		return CardUnknown
	case f.ID == finding.CardClaimed:
		return CardReserved
	case f.ID == finding.HostIOMMUOff:
		return CardNoIOMMU
	}
	return CardBlocked
}

// heldCard is a card that VMs have.
func heldCard(vms []*inventory.VM) CardVerdict {
	v := CardVerdict{State: CardTaken, Holders: vms}
	if n := len(vms) - 1; n == 1 {
		v.Reason = "and 1 VM more has it too"
	} else if n > 1 {
		v.Reason = fmt.Sprintf("and %d VMs more have it too", n)
	}
	switch ownership, why := vms[0].Ownership(); ownership {
	case inventory.Ours, inventory.Unmarked:
		v.State = CardInUse
	case inventory.Unverified:
		v.Reason = "not proven to be ours: " + why
	case inventory.Foreign:
		v.Reason = cmp.Or(v.Reason, "not ours")
	}
	return v
}

// briefly is a finding in the words of a table.
func (r *Capacity) briefly(host *inventory.Host, device pci.Device, f finding.Finding) string {
	switch f.ID {
	case finding.CardClaimed:
		claim := r.world.Claim(host.Ref(device))
		return cmp.Or(claim.Problem, "by "+cmp.Or(claim.Record.By, "somebody"))
	case finding.CardGroupShared:
		mates := host.GroupMates(device)
		names := make([]string, len(mates))
		for i, mate := range mates {
			names[i] = fmt.Sprintf("%s %s", mate.BDF, mate.ShortName())
		}
		return fmt.Sprintf("shares group %d with %s", mates[0].Group, strings.Join(names, ", "))
	case finding.CardHolderUnknown:
		return fmt.Sprintf("VM %s may hold it and cannot be read (%s)", f.Where.VM, f.ID)
	}
	if stateOf(f) == CardNoIOMMU {
		return string(f.ID)
	}
	return fmt.Sprintf("%s (%s)", f.Reason, f.ID)
}
