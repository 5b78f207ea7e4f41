package vmclaim

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Look is one observation of all VMs, for a VM that is to get a card. Mine is that VM;
// it was read first, the others after it.
type Look struct {
	Card   pci.CardRef
	Mine   VM
	Others []VM
}

// Move is the next action.
type Move string

// The moves.
const (
	Go       Move = "go"       // go on: no other VM can get the card
	Write    Move = "write"    // write the claim into the VM, then look again
	Withdraw Move = "withdraw" // take the claim out of the VM, then pause and look again
	Pause    Move = "pause"    // look again after a pause
	Refuse   Move = "refuse"   // give up: Verdict.Err says why
)

// Verdict is a move and its reason.
type Verdict struct {
	Move Move
	// Other is the VM that blocks this one; nil when there is none.
	Other *VM

	why  reason
	look *Look
}

// mostTries is how many tries meet a claim of another VM before it is refused as
// permanent.
const mostTries = 6

// Pauses grow with the tries. Each is random by a chance from 0 to 1.
const (
	shortPause = 200 * time.Millisecond
	pauseRange = 500 * time.Millisecond
)

// PauseFor is how long to pause after so many tries.
func PauseFor(tries int, chance float64) time.Duration {
	most := pauseRange << min(tries, mostTries-1)
	return shortPause + time.Duration(chance*float64(most))
}

// Claim decides for a VM that is to claim the card. tries is the number of tries
// before.
func (l *Look) Claim(tries int) Verdict {
	claims, has := l.Mine.Claims(l.Card), l.Mine.has(l.Card)
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
	case tries >= mostTries:
		return l.verdict(Refuse, other, claimed)
	}
	return l.verdict(Pause, other, "")
}

// Attach decides for a VM that is to get the card that it claims. The card is then
// attached by compare-and-swap against the configuration that was read as Mine.
func (l *Look) Attach(tries int) Verdict {
	holder, other := l.holder(), l.claimant()
	switch {
	case holder != nil:
		return l.verdict(Refuse, holder, taken)
	case !l.Mine.Claims(l.Card):
		return l.verdict(Refuse, nil, unclaimed)
	case other == nil, l.Mine.has(l.Card):
		return l.verdict(Go, nil, "")
	case tries < mostTries:
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
		if l.Others[i].has(l.Card) {
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

// ofSameWorker reports whether another VM belongs to the same worker.
func (l *Look) ofSameWorker(other *VM) bool {
	return other.Note.Record.WorkerKey == l.Mine.Note.Record.WorkerKey
}
