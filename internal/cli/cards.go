package cli

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// cardView is one GPU: the output for machines, and the row of the table.
type cardView struct {
	Hypervisor string  `json:"hypervisor"`
	Host       string  `json:"host"`
	BDF        pci.BDF `json:"bdf,omitzero"`
	Model      string  `json:"model,omitempty"`
	ID         pci.ID  `json:"id,omitzero"`
	// With are the other functions of the card: "audio".
	With   []string         `json:"with,omitempty"`
	Group  int              `json:"group"` // IOMMU group, -1 without IOMMU
	Alone  bool             `json:"alone"` // no other endpoint is in the group
	HeldBy *holder          `json:"heldBy,omitempty"`
	State  engine.CardState `json:"state"`
	Reason string           `json:"reason,omitempty"`
}

// holder is the VM that has a card, or the worker that it is reserved for.
type holder struct {
	Name string `json:"name"`
	VM   string `json:"vm,omitempty"` // "" while there is no VM
	Ours bool   `json:"ours"`
}

// String is the holder in the table: "vdi-7 (VM 204)"; "" for nil.
func (h *holder) String() string {
	switch {
	case h == nil:
		return ""
	case h.VM == "":
		return h.Name
	}
	return fmt.Sprintf("%s (VM %s)", h.Name, h.VM)
}

// cardsOf returns the GPUs of a host with their states.
func cardsOf(hypervisor engine.Hypervisor, h *inventory.Host) []cardView {
	cards, blind := hypervisor.Cards(h)
	if blind != "" {
		return []cardView{{Hypervisor: hypervisor.Name, Host: h.Name, Group: pci.NoGroup, State: engine.CardUnknown, Reason: blind}}
	}
	var views []cardView
	for _, card := range cards {
		gpu, _ := card.Device.GPU()
		views = append(views, cardView{
			Hypervisor: hypervisor.Name, Host: h.Name, BDF: gpu.BDF, Model: gpu.ShortName(), ID: gpu.ID,
			With: extras(card.Device), Group: gpu.Group, Alone: gpu.Group != pci.NoGroup && len(h.GroupMates(card.Device)) == 0,
			HeldBy: holderOf(card), State: card.State, Reason: card.Reason,
		})
	}
	return views
}

// holderOf returns the holder of a card; nil when it has none.
func holderOf(card engine.Card) *holder {
	switch claim := card.Claim; {
	case len(card.Holders) > 0:
		vm := card.Holders[0]
		return &holder{Name: vm.Name, VM: vm.ID, Ours: card.State == engine.CardInUse}
	case claim == nil:
		return nil
	case claim.Problem != "":
		return &holder{Name: claim.Register}
	default:
		return &holder{Name: claim.Record.Worker, Ours: true}
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
