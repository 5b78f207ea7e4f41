package vmclaim

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Look is one look at all VMs, for the one that wants a card. Mine was read
// first, and the others after it.
type Look struct {
	Card   pci.CardRef
	Mine   VM
	Others []VM
}

// Move is what is to be done next.
type Move string

// The moves.
const (
	Go       Move = "go"       // nobody else wants the card, or nobody may have it any more
	Write    Move = "write"    // write the claim into the VM, then look again
	Withdraw Move = "withdraw" // take the claim out of the VM, then pause and look again
	Pause    Move = "pause"    // look again after a pause
	Refuse   Move = "refuse"   // give up: Verdict.Err says why
)

// Verdict is a move and its reason.
type Verdict struct {
	Move Move
	// Other is the VM that stands in the way; nil when none does.
	Other *VM

	why  reason
	look *Look
}

// MostTries is how often a claim of another VM is met before it counts as one that
// stays.
const MostTries = 6

// Pauses grow with the tries, and are as random as chance, which is from 0 to 1.
const (
	shortPause = 200 * time.Millisecond
	pauseRange = 500 * time.Millisecond
)

// PauseFor is how long to pause after so many tries.
func PauseFor(tries int, chance float64) time.Duration {
	most := pauseRange << min(tries, MostTries-1)
	return shortPause + time.Duration(chance*float64(most))
}

// Claim decides for a VM that wants to claim the card. tries is how often others
// were met before.
func (l *Look) Claim(tries int) Verdict {
	claims, has := l.Mine.Claims(l.Card), l.Mine.Has(l.Card)
	if holder := l.holder(); holder != nil {
		if claims && !has {
			return l.verdict(Withdraw, holder, "")
		}
		return l.verdict(Refuse, holder, taken)
	}
	other := l.claimant()
	switch {
	case claims && (has || other == nil):
		return l.verdict(Go, nil, "")
	case has, other == nil:
		return l.verdict(Write, nil, "")
	case claims:
		return l.verdict(Withdraw, other, "")
	case l.ofSameWorker(other):
		return l.verdict(Refuse, other, duplicate)
	case tries >= MostTries:
		return l.verdict(Refuse, other, claimed)
	}
	return l.verdict(Pause, other, "")
}

// Attach decides for a VM that is to be given the card that it claims. The card is
// then written by compare-and-swap against what was read as Mine.
func (l *Look) Attach(tries int) Verdict {
	holder, other := l.holder(), l.claimant()
	switch {
	case holder != nil:
		return l.verdict(Refuse, holder, taken)
	case !l.Mine.Claims(l.Card):
		return l.verdict(Refuse, nil, unclaimed)
	case other == nil, l.Mine.Has(l.Card):
		return l.verdict(Go, nil, "")
	case tries < MostTries:
		return l.verdict(Pause, other, "")
	case l.ofSameWorker(other):
		return l.verdict(Refuse, other, duplicate)
	}
	return l.verdict(Refuse, other, claimed)
}

// Start decides for a VM that has the card and is to be started. Others that only
// claim the card yield to it.
func (l *Look) Start() Verdict {
	if holder := l.holder(); holder != nil {
		return l.verdict(Refuse, holder, taken)
	}
	if !l.Mine.Claims(l.Card) {
		return l.verdict(Refuse, nil, unclaimed)
	}
	return l.verdict(Go, nil, "")
}

func (l *Look) verdict(move Move, other *VM, why reason) Verdict {
	return Verdict{Move: move, Other: other, why: why, look: l}
}

// holder is another VM that has the card.
func (l *Look) holder() *VM {
	for i := range l.Others {
		if l.Others[i].Has(l.Card) {
			return &l.Others[i]
		}
	}
	return nil
}

// claimant is another VM that claims the card.
func (l *Look) claimant() *VM {
	for i := range l.Others {
		if l.Others[i].Claims(l.Card) {
			return &l.Others[i]
		}
	}
	return nil
}

// ofSameWorker reports whether another VM is one of the same worker.
func (l *Look) ofSameWorker(other *VM) bool {
	return other.Note.Record.WorkerKey == l.Mine.Note.Record.WorkerKey
}
