package place

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// cardsSeen remembers what was found about cards, so that workers that ask for the
// same share it.
type cardsSeen struct {
	gpus   map[string][]pci.Device // by host
	models map[modelOf]bool
	judged map[card]judgment // for workers that have nothing yet
}

type judgment struct{ refusals, notes []finding.Finding }

// modelOf is a question: is this make of card what is asked for?
type modelOf struct {
	model, id    string // asked for
	vendor, name string
	make         pci.ID
}

func newCardsSeen() *cardsSeen {
	return &cardsSeen{gpus: map[string][]pci.Device{}, models: map[modelOf]bool{}, judged: map[card]judgment{}}
}

// fitting are the cards of a host that fit a selector, in the order of their
// addresses.
func (c *cardsSeen) fitting(want CardWant, host *inventory.Host) []pci.Device {
	gpus, known := c.gpus[host.Name]
	if !known {
		gpus = host.GPUs()
		c.gpus[host.Name] = gpus
	}
	if len(want.Hosts) > 0 && !slices.Contains(want.Hosts, host.Name) {
		return nil
	}
	var fit []pci.Device
	for _, device := range gpus {
		if c.isModel(want, host.Name, device) {
			fit = append(fit, device)
		}
	}
	return fit
}

func (c *cardsSeen) isModel(want CardWant, host string, device pci.Device) bool {
	gpu, _ := device.GPU()
	question := modelOf{want.Model, want.ID, gpu.Vendor, gpu.Name, gpu.ID}
	answer, known := c.models[question]
	if !known {
		answer = want.Matches(host, device)
		c.models[question] = answer
	}
	return answer
}

// JudgeCard judges all that stands between a worker and a card, this plan
// included.
func (r *Room) JudgeCard(host *inventory.Host, device pci.Device, who Who) (refusals, notes []finding.Finding) {
	key := card{host.Name, device.Slot}
	if taker := r.cards[key]; taker != "" && taker != who.Worker {
		return []finding.Finding{{
			ID: finding.CardUsed, Verdict: finding.Fail, Layer: finding.LayerCard, Where: atCard(r.world, host.Name, device),
			Reason: "used by " + taker,
			Fix:    "there are fewer cards than workers that want one: add a card, or lower count",
		}}, nil
	}
	claim := r.world.Claim(host.Name, device.Slot)
	if who.VM != "" || claim != nil && who.is(&claim.Record) {
		return Split(r.lookAtCard(host, device, who))
	}
	known, judged := r.cardsSeen.judged[key]
	if !judged {
		known.refusals, known.notes = Split(r.lookAtCard(host, device, who))
		known.refusals, known.notes = slices.Clip(known.refusals), slices.Clip(known.notes) // whoever adds to them has a copy
		r.cardsSeen.judged[key] = known
	}
	return known.refusals, known.notes
}

// lookAtCard judges a card as the world is.
func (r *Room) lookAtCard(host *inventory.Host, device pci.Device, who Who) []finding.Finding {
	findings := []finding.Finding{CheckIOMMU(r.world, host)}
	if !Blocks(findings[0]) {
		findings = append(findings, CheckCardAlone(r.world, host, device))
	}
	findings = append(findings, CheckCardFree(r.world, host, device, who)...)
	facts := CheckHostFacts(r.world, host, device, r.requireFacts)
	if slices.ContainsFunc(facts, Blocks) {
		facts = ProvenByVM(r.world, who.VM, device.Slot, facts)
	}
	return append(findings, facts...)
}
