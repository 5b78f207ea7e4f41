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
	models map[modelOf]bool
	fit    map[selection][]pci.Device
	judged map[pci.CardRef]judgment // for workers that have nothing yet
}

// selection are the cards of a host that are of a kind.
type selection struct{ host, model, id string }

type judgment struct{ refusals, notes []finding.Finding }

// modelOf is a question: is this make of card what is asked for?
type modelOf struct {
	model, id    string // asked for
	vendor, name string
	make         pci.ID
}

func newCardsSeen() *cardsSeen {
	return &cardsSeen{models: map[modelOf]bool{}, fit: map[selection][]pci.Device{}, judged: map[pci.CardRef]judgment{}}
}

func (c *cardsSeen) fitting(needs CardRequirements, host *inventory.Host) []pci.Device {
	if len(needs.Hosts) > 0 && !slices.Contains(needs.Hosts, host.Name) {
		return nil
	}
	of := selection{host.Name, needs.Model, needs.ID}
	fit, known := c.fit[of]
	if !known {
		fit = slices.DeleteFunc(host.GPUs(), func(d pci.Device) bool { return !c.isModel(needs, host.Name, d) })
		c.fit[of] = fit
	}
	return fit
}

func (c *cardsSeen) isModel(needs CardRequirements, host string, device pci.Device) bool {
	gpu, _ := device.GPU()
	question := modelOf{needs.Model, needs.ID, gpu.Vendor, gpu.Name, gpu.ID}
	answer, known := c.models[question]
	if !known {
		answer = needs.Matches(host, device)
		c.models[question] = answer
	}
	return answer
}

// JudgeCard judges all that stands between a worker and a card, this plan
// included.
func (r *Capacity) JudgeCard(host *inventory.Host, device pci.Device, worker Holder) (refusals, notes []finding.Finding) {
	if taker := r.cards[host.Ref(device)]; taker != "" && taker != worker.Worker {
		return []finding.Finding{finding.New(finding.CardUsed, finding.Fail, atCard(r.world, host.Name, device)).
			WithReason("used by " + taker).
			WithFix("there are fewer cards than workers that want one: add a card, or lower count")}, nil
	}
	j := r.judge(host, device, worker)
	return j.refusals, j.notes
}

// isFree reports whether nothing stands between a worker and a card.
func (r *Capacity) isFree(host *inventory.Host, device pci.Device, worker Holder) bool {
	taker := r.cards[host.Ref(device)]
	return (taker == "" || taker == worker.Worker) && len(r.judge(host, device, worker).refusals) == 0
}

// judge judges a card as the world is: for all workers that have nothing yet alike.
func (r *Capacity) judge(host *inventory.Host, device pci.Device, worker Holder) judgment {
	claim := r.world.Claim(host.Ref(device))
	if worker.VM != "" || claim != nil && claim.Record.WorkerKey == worker.WorkerKey {
		refusals, notes := Split(r.lookAtCard(host, device, worker))
		return judgment{refusals, notes}
	}
	key := host.Ref(device)
	known, judged := r.cardsSeen.judged[key]
	if !judged {
		known.refusals, known.notes = Split(r.lookAtCard(host, device, worker))
		known.refusals, known.notes = slices.Clip(known.refusals), slices.Clip(known.notes) // whoever adds to them has a copy
		r.cardsSeen.judged[key] = known
	}
	return known
}

func (r *Capacity) lookAtCard(host *inventory.Host, device pci.Device, worker Holder) []finding.Finding {
	findings := []finding.Finding{CheckIOMMU(r.world, host)}
	if !findings[0].Blocks() {
		findings = append(findings, CheckCardAlone(r.world, host, device))
	}
	findings = append(findings, CheckCardFree(r.world, host, device, worker)...)
	facts := CheckHostFacts(r.world, host, device, r.requireFacts)
	if slices.ContainsFunc(facts, finding.Finding.Blocks) {
		facts = ProvenByVM(r.world, worker.VM, host.Ref(device), facts)
	}
	return append(findings, facts...)
}
