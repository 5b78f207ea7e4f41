package engine

import (
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
)

// The states of a card, as a plan would find it.
const (
	CardReady    = place.CardReady
	CardInUse    = place.CardInUse
	CardReserved = place.CardReserved
	CardTaken    = place.CardTaken
	CardBlocked  = place.CardBlocked
	CardNoIOMMU  = place.CardNoIOMMU
	CardUnknown  = place.CardUnknown
)

// CardState is the state of a card.
type CardState = place.CardState

// Card is a GPU of a host and its state.
type Card struct {
	Device pci.Device
	place.CardVerdict
}

// Cards are the GPUs of a host. When they cannot be seen, the list is empty and blind
// says why.
func (h Hypervisor) Cards(host *inventory.Host) (cards []Card, blind string) {
	capacity := place.NewCapacity(h.Snapshot)
	if h.RequireFacts {
		capacity.RequireFacts()
	}
	verdicts, blind := capacity.JudgeCards(host)
	for i, verdict := range verdicts {
		cards = append(cards, Card{host.GPUs()[i], verdict})
	}
	return cards, blind
}
