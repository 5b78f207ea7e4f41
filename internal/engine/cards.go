package engine

import (
	"fmt"
	"slices"
	"strings"

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

// CardStates are all states of a card.
var CardStates = []CardState{CardReady, CardInUse, CardReserved, CardTaken, CardBlocked, CardNoIOMMU, CardUnknown}

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

// CardView is one GPU as the front ends show it. When the GPUs of a host cannot be seen,
// the host has one view without BDF, with the reason.
type CardView struct {
	Hypervisor string  `json:"hypervisor"`
	Host       string  `json:"host"`
	BDF        pci.BDF `json:"bdf,omitzero"`
	Model      string  `json:"model,omitempty"`
	ID         pci.ID  `json:"id,omitzero"`
	// With are the other functions of the card: "audio".
	With  []string `json:"with,omitempty"`
	Group int      `json:"group"` // IOMMU group, -1 without IOMMU
	Alone bool     `json:"alone"` // no other endpoint is in the group
	// Mates are the other endpoints in the group.
	Mates  []pci.Function `json:"-"`
	HeldBy *CardHolder    `json:"heldBy,omitempty"`
	State  CardState      `json:"state"`
	Reason string         `json:"reason,omitempty"`
}

// CardHolder is the VM that has a card, or the worker that it is reserved for.
type CardHolder struct {
	Name string `json:"name"`
	VM   string `json:"vm,omitempty"` // "" while there is no VM
	Ours bool   `json:"ours"`
}

// String is the holder in a table: "vdi-7 (VM 204)"; "" for nil.
func (h *CardHolder) String() string {
	switch {
	case h == nil:
		return ""
	case h.VM == "":
		return h.Name
	}
	return fmt.Sprintf("%s (VM %s)", h.Name, h.VM)
}

// CardFilter selects cards; an empty field selects all.
type CardFilter struct {
	Host  string
	Model string // as in a document: "RTX 3090" is also "GeForce RTX 3090"
	State CardState
}

// CardViews returns the GPUs of all hosts that the filter selects.
func (h Hypervisor) CardViews(filter CardFilter) []CardView {
	var views []CardView
	for i := range h.Snapshot.Hosts {
		if host := &h.Snapshot.Hosts[i]; filter.Host == "" || filter.Host == host.Name {
			views = append(views, h.cardViewsOf(host, filter)...)
		}
	}
	return views
}

func (h Hypervisor) cardViewsOf(host *inventory.Host, filter CardFilter) []CardView {
	selected := func(state CardState) bool { return filter.State == "" || filter.State == state }
	cards, blind := h.Cards(host)
	if blind != "" {
		if !selected(CardUnknown) || filter.Model != "" {
			return nil
		}
		return []CardView{{Hypervisor: h.Name, Host: host.Name, Group: pci.NoGroup, State: CardUnknown, Reason: blind}}
	}
	ofModel := place.CardRequirements{Model: filter.Model}
	var views []CardView
	for _, card := range cards {
		if selected(card.State) && (filter.Model == "" || ofModel.Matches(host.Name, card.Device)) {
			views = append(views, h.viewCard(host, card))
		}
	}
	return views
}

func (h Hypervisor) viewCard(host *inventory.Host, card Card) CardView {
	gpu, _ := card.Device.GPU()
	mates := host.GroupMates(card.Device)
	return CardView{
		Hypervisor: h.Name, Host: host.Name, BDF: gpu.BDF, Model: gpu.ShortName(), ID: gpu.ID,
		With: extras(card.Device), Group: gpu.Group, Alone: gpu.Group != pci.NoGroup && len(mates) == 0, Mates: mates,
		HeldBy: holderOf(card), State: card.State, Reason: card.Reason,
	}
}

// Blind returns the hosts whose GPUs cannot be seen, with the reasons. A host can be
// given; "" is all hosts.
func (h Hypervisor) Blind(host string) []CardView {
	return slices.DeleteFunc(h.CardViews(CardFilter{Host: host, State: CardUnknown}), func(v CardView) bool { return !v.BDF.IsZero() })
}

// holderOf returns the holder of a card; nil when it has none.
func holderOf(card Card) *CardHolder {
	switch claim := card.Claim; {
	case len(card.Holders) > 0:
		vm := card.Holders[0]
		return &CardHolder{Name: vm.Name, VM: vm.ID, Ours: card.State == CardInUse}
	case claim == nil:
		return nil
	case claim.Problem != "":
		return &CardHolder{Name: claim.Register}
	default:
		return &CardHolder{Name: claim.Record.Worker, Ours: true}
	}
}

// extras returns the short names of the card's functions other than the GPU.
func extras(device pci.Device) []string {
	gpu, _ := device.GPU()
	var names []string
	for _, f := range device.Functions {
		if f.BDF != gpu.BDF {
			names = append(names, strings.TrimSuffix(strings.TrimSuffix(f.Class.Noun(), " device"), " controller"))
		}
	}
	return names
}
