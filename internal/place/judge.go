package place

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// cardCache keeps judgments of cards, which workers with the same requirements share.
type cardCache struct {
	models map[modelMatch]bool
	fit    map[selection][]pci.Device
	judged map[pci.CardRef]judgment // for workers that have no VM and no claim
}

// selection identifies the cards of a host that match a model or an ID.
type selection struct{ host, model, id string }

type judgment struct{ refusals, notes []finding.Finding }

// modelMatch identifies a comparison of a required model or ID with a kind of card.
type modelMatch struct {
	model, id    string // required
	vendor, name string
	cardID       pci.ID
}

func newCardCache() *cardCache {
	return &cardCache{models: map[modelMatch]bool{}, fit: map[selection][]pci.Device{}, judged: map[pci.CardRef]judgment{}}
}

func (c *cardCache) fitting(needs CardRequirements, host *inventory.Host) []pci.Device {
	if len(needs.Hosts) > 0 && !slices.Contains(needs.Hosts, host.Name) {
		return nil
	}
	key := selection{host.Name, needs.Model, needs.ID}
	fit, known := c.fit[key]
	if !known {
		fit = slices.DeleteFunc(host.GPUs(), func(d pci.Device) bool { return !c.isModel(needs, host.Name, d) })
		c.fit[key] = fit
	}
	return fit
}

func (c *cardCache) isModel(needs CardRequirements, host string, device pci.Device) bool {
	gpu, _ := device.GPU()
	key := modelMatch{needs.Model, needs.ID, gpu.Vendor, gpu.Name, gpu.ID}
	matches, known := c.models[key]
	if !known {
		matches = needs.Matches(host, device)
		c.models[key] = matches
	}
	return matches
}

// JudgeCard returns everything that prevents a worker from using a card, allocations
// of this plan included.
func (r *Capacity) JudgeCard(host *inventory.Host, device pci.Device, worker Holder) (refusals, notes []finding.Finding) {
	if user := r.cards[host.Ref(device)]; user != "" && user != worker.Worker {
		return []finding.Finding{finding.New(finding.CardUsed, finding.Fail, atCard(r.world, host.Name, device)).
			WithReason("used by " + user).
			WithFix("there are fewer cards than workers that need one: add a card, or lower count")}, nil
	}
	j := r.judge(host, device, worker)
	return j.refusals, j.notes
}

// isFree reports whether a worker can use a card.
func (r *Capacity) isFree(host *inventory.Host, device pci.Device, worker Holder) bool {
	user := r.cards[host.Ref(device)]
	return (user == "" || user == worker.Worker) && len(r.judge(host, device, worker).refusals) == 0
}

// judge judges a card without the plan's allocations. The result is the same for all
// workers that have no VM and no claim on the card, and is cached for these.
func (r *Capacity) judge(host *inventory.Host, device pci.Device, worker Holder) judgment {
	claim := r.world.Claim(host.Ref(device))
	if worker.VM != "" || claim != nil && claim.Record.WorkerKey == worker.WorkerKey {
		refusals, notes := Split(r.lookAtCard(host, device, worker))
		return judgment{refusals, notes}
	}
	key := host.Ref(device)
	known, judged := r.cardCache.judged[key]
	if !judged {
		known.refusals, known.notes = Split(r.lookAtCard(host, device, worker))
		known.refusals, known.notes = slices.Clip(known.refusals), slices.Clip(known.notes) // so that append copies
		r.cardCache.judged[key] = known
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
