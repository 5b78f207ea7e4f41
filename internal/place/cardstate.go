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

// CardState is the state of a card, in a word or two.
type CardState string

// The states of a card.
const (
	CardReady    CardState = "ready"    // a plan can use it
	CardInUse    CardState = "in use"   // attached to one of our workers
	CardReserved CardState = "reserved" // claimed for a worker without a VM
	CardTaken    CardState = "taken"    // attached to a VM that is not ours
	CardBlocked  CardState = "blocked"  // not safe to attach
	CardNoIOMMU  CardState = "no IOMMU"
	CardUnknown  CardState = "unknown" // could not be checked
)

// CardVerdict is the state of a card for a new worker that names it.
type CardVerdict struct {
	State CardState
	// Holders are the VMs that have the card attached; without any, Claim may
	// reserve it.
	Holders []*inventory.VM
	Claim   *inventory.Claim
	// Reason explains the state in a few words; "" for a card that is ready.
	Reason string
}

// JudgeCards judges the GPUs of a host, in their order. When the cards of the host
// cannot be seen, the list is empty and blind says why.
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

// cardState sums up what a plan would find. With several reasons, one that names the
// owner of the card wins, then the one that is hardest to fix.
func (r *Capacity) cardState(host *inventory.Host, device pci.Device) CardVerdict {
	blocking, _ := r.JudgeCard(host, device, Holder{})
	if len(blocking) == 0 {
		return CardVerdict{State: CardReady}
	}
	if holders := r.world.Holders(host.Ref(device)); len(holders) > 0 {
		return heldCard(holders)
	}
	for _, state := range []CardState{CardReserved, CardNoIOMMU, CardBlocked, CardUnknown} {
		i := slices.IndexFunc(blocking, func(f finding.Finding) bool { return stateOf(f) == state })
		if i < 0 {
			continue
		}
		verdict := CardVerdict{State: state, Reason: r.shortReason(host, device, blocking[i])}
		if state == CardReserved {
			verdict.Claim = r.world.Claim(host.Ref(device))
		}
		return verdict
	}
	return CardVerdict{State: CardUnknown, Reason: blocking[0].Reason} // each finding has a state
}

// stateOf is the state of a card with this blocking finding.
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

// heldCard is the verdict on a card that is attached to VMs.
func heldCard(vms []*inventory.VM) CardVerdict {
	v := CardVerdict{State: CardTaken, Holders: vms}
	if n := len(vms) - 1; n == 1 {
		v.Reason = "attached to 1 more VM"
	} else if n > 1 {
		v.Reason = fmt.Sprintf("attached to %d more VMs", n)
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

// shortReason is the reason of a finding, short enough for a table.
func (r *Capacity) shortReason(host *inventory.Host, device pci.Device, f finding.Finding) string {
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
