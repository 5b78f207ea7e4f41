package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// Run checks one hypervisor against the documents and returns its findings, ordered by
// layer. A finding fails when it blocks a declared worker, now or later. Problems of a
// host or card that no worker needs are information only.
func Run(in planner.Input) []finding.Finding {
	c := &checker{in: in, world: in.Snapshot, capacity: place.NewCapacity(in.Snapshot), free: map[pci.CardRef]bool{}, index: map[key]int{}}
	c.add(place.CheckVersion(c.world))
	if f := place.CheckWritable(c.world); f.Blocks() {
		c.add(f)
	}
	c.add(place.CheckAccess(c.world)...)
	c.add(c.world.Setup...)
	c.hosts()
	for i := range in.Pools {
		if pool := &in.Pools[i]; pool.Spec.Hypervisor == c.hypervisor() {
			c.pool(pool)
		}
	}
	c.plan()
	c.vms()
	finding.Sort(c.found)
	return c.found
}

type checker struct {
	in    planner.Input
	world *inventory.Snapshot

	capacity *place.Capacity      // without allocations
	free     map[pci.CardRef]bool // cached results for pools that do not hold the card

	found []finding.Finding
	index map[key]int // index in found
}

// key identifies a finding: equal findings are reported once, with the worst verdict.
type key struct {
	id     finding.ID
	where  fault.Place
	reason string
}

// severity orders verdicts.
func severity(v finding.Verdict) int {
	return slices.Index([]finding.Verdict{finding.Pass, finding.Info, finding.Unknown, finding.Fail}, v)
}

func (c *checker) add(findings ...finding.Finding) {
	for _, f := range findings {
		k := key{f.ID, f.Where, f.Reason}
		k.where.Worker = ""
		i, known := c.index[k]
		switch {
		case !known:
			c.index[k] = len(c.found)
			c.found = append(c.found, f)
		case severity(f.Verdict) > severity(c.found[i].Verdict):
			c.found[i] = f
		}
	}
}

// inform adds findings about one of several choices: a fail there is only
// information, since another choice may be used.
func (c *checker) inform(findings ...finding.Finding) {
	for _, f := range findings {
		if f.Verdict == finding.Fail {
			f.Verdict = finding.Info
		}
		c.add(f)
	}
}

func (c *checker) hypervisor() string {
	if c.in.Hypervisor == nil {
		return c.world.Hypervisor
	}
	return c.in.Hypervisor.Name
}

// hosts checks every host, and the names of hosts in the documents.
func (c *checker) hosts() {
	needed := c.neededHosts()
	for _, name := range needed {
		c.add(place.CheckHost(c.world, name))
	}
	for i := range c.world.Hosts {
		host := &c.world.Hosts[i]
		c.inform(place.CheckHost(c.world, host.Name))
		if !host.Online {
			continue
		}
		for _, gap := range host.Gaps {
			c.add(finding.New(finding.HostUnreadable, finding.Unknown, fault.Place{Hypervisor: c.world.Hypervisor, Host: host.Name}).
				WithReason(fmt.Sprintf("%s cannot be read: %s", gap.What, gap.Why)).
				WithFix("gpuworker check shows which privilege the login lacks"))
		}
		c.inform(place.CheckIOMMU(c.world, host))
		c.inform(place.CheckMemory(c.world, host, 0, 0, 0))
	}
}

// neededHosts are the hosts that the documents name, and those of cards that are
// claimed for the pools.
func (c *checker) neededHosts() []string {
	var names []string
	for _, pool := range c.in.Pools {
		if pool.Spec.Hypervisor != c.hypervisor() {
			continue
		}
		names = append(names, pool.Spec.Hosts...)
		for _, g := range pool.Spec.GPUs {
			names = append(names, g.Hosts...)
			if ref, named := g.Place(); named {
				names = append(names, ref.Host)
			}
		}
		for _, claim := range c.world.Claims {
			if claim.Record.Pool == pool.Name && claim.Record.KubeCluster == pool.Spec.KubeCluster {
				names = append(names, claim.Card.Host)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pool checks the cards that a pool may use, and its requirements on each host that
// it may use.
func (c *checker) pool(pool *v1alpha1.WorkerPool) {
	if !pool.IsGPU() {
		needs := planner.RequirementsOf(c.world.Capabilities, pool, pool.WorkerName(1), nil)
		for _, name := range c.allowed(pool.Spec.Hosts) {
			c.host(needs, name, false)
		}
		return
	}
	for i := range pool.Spec.GPUs {
		request := &pool.Spec.GPUs[i]
		needs := planner.RequirementsOf(c.world.Capabilities, pool, pool.WorkerName(1), request)
		if !needs.Card.Ref.IsZero() {
			c.exactCard(pool, needs)
			continue
		}
		hosts := request.Hosts
		if len(hosts) == 0 {
			hosts = pool.Spec.Hosts
		}
		for _, name := range c.allowed(hosts) {
			c.cardsOf(pool, needs, name)
		}
	}
}

func (c *checker) allowed(names []string) []string {
	if len(names) > 0 {
		return names
	}
	for _, host := range c.world.Hosts {
		names = append(names, host.Name)
	}
	return names
}

// exactCard checks a card that a document names: every problem of it fails.
func (c *checker) exactCard(pool *v1alpha1.WorkerPool, needs place.Requirements) {
	host := c.world.Host(needs.Card.Ref.Host)
	if host == nil || !host.Online {
		return // already reported by hosts
	}
	there := place.CheckCardThere(c.world, host, needs.Card.Ref.Slot)
	c.add(there)
	if there.Blocks() {
		return
	}
	c.add(place.CheckIOMMU(c.world, host))
	if worker := c.holder(pool, needs.Card.Ref); c.card(host, needs, worker, true) {
		c.host(needs, host.Name, true)
	}
}

// cardsOf checks the cards of a host that match a selector. Each is one of several
// choices.
func (c *checker) cardsOf(pool *v1alpha1.WorkerPool, needs place.Requirements, name string) {
	host := c.world.Host(name)
	if host == nil || !host.Online {
		return
	}
	free := false
	for _, device := range c.capacity.Cards(*needs.Card, host) {
		exact := needs
		exact.Card = &place.CardRequirements{Ref: host.Ref(device)}
		free = c.matchingCard(pool, host, exact) || free
	}
	if free {
		c.host(needs, name, false)
	}
}

// matchingCard checks a card that matches a selector, once for all pools that do not
// hold it, and reports whether a new worker can use it.
func (c *checker) matchingCard(pool *v1alpha1.WorkerPool, host *inventory.Host, needs place.Requirements) (free bool) {
	worker, card := c.holder(pool, needs.Card.Ref), needs.Card.Ref
	free, judged := c.free[card]
	if worker.Worker == "" && judged {
		return free
	}
	c.inform(place.CheckCardThere(c.world, host, card.Slot))
	free = c.card(host, needs, worker, false)
	if worker.Worker == "" {
		c.free[card] = free
	}
	return free
}

// card checks one existing card and reports whether a new worker can use it.
func (c *checker) card(host *inventory.Host, needs place.Requirements, worker place.Holder, named bool) (free bool) {
	device := *host.Device(needs.Card.Ref.Slot)
	findings := place.CheckCardFree(c.world, host, device, worker)
	iommu := !place.CheckIOMMU(c.world, host).Blocks()
	if iommu {
		findings = append(findings, place.CheckCardAlone(c.world, host, device))
	}
	if named {
		c.add(findings...)
	} else {
		c.inform(findings...)
	}
	if blocking, _ := place.Split(findings); len(blocking) > 0 || !iommu {
		return false
	}
	// Host facts are required only for taking a card, not for a worker that runs with it.
	required := c.in.Hypervisor != nil && c.in.Hypervisor.Spec.RequireHostFacts && !place.RunsWith(c.world, worker.VM, needs.Card.Ref)
	facts := place.CheckHostFacts(c.world, host, device, required)
	facts = place.ProvenByVM(c.world, worker.VM, needs.Card.Ref, facts)
	c.add(facts...)
	return worker.VM == ""
}

// holder is the worker of the pool that already has the card; without a name when
// there is none.
func (c *checker) holder(pool *v1alpha1.WorkerPool, card pci.CardRef) place.Holder {
	worker := place.Holder{WorkerKey: inventory.WorkerKey{Pool: pool.Name, KubeCluster: pool.Spec.KubeCluster}}
	ofPool := func(r *inventory.Record) bool {
		return r != nil && r.Pool == worker.Pool && r.KubeCluster == worker.KubeCluster
	}
	if claim := c.world.Claim(card); claim != nil && ofPool(&claim.Record) {
		worker.Worker = claim.Record.Worker
	}
	for _, vm := range c.world.Holders(card) {
		ownership, _ := vm.Ownership()
		ours := ownership == inventory.Ours || ownership == inventory.Unmarked
		if ours && ofPool(vm.Record) && cmp.Or(worker.Worker, vm.Record.Worker) == vm.Record.Worker {
			worker.Worker, worker.VM = vm.Record.Worker, vm.ID
		}
	}
	return worker
}

// host checks the requirements of a VM of the pool on a host, except card and memory.
// The plan checks memory, since it knows how many VMs have to be made.
func (c *checker) host(needs place.Requirements, name string, named bool) {
	host := c.world.Host(name)
	if host == nil || !host.Online {
		return
	}
	template, findings := c.capacity.TemplateFor(needs, host)
	findings = append(findings, place.CheckSeedStorage(c.world, host, needs)...)
	if template != nil {
		findings = append(findings, place.CheckReach(c.world, host, needs, template)...)
		for _, volume := range place.Volumes(needs, template) {
			findings = append(findings, place.CheckStorage(c.world, host, volume, 0))
		}
	}
	findings = append(append(findings, place.CheckNetworks(c.world, host, needs.NICs)...), place.CheckCPUs(c.world, host, needs.Cores))
	if named {
		c.add(findings...)
		return
	}
	c.inform(findings...)
}

// plan adds the refusals and findings of a plan.
func (c *checker) plan() {
	p := planner.Build(c.in)
	c.add(p.Findings...)
	reported := map[*finding.Finding]bool{} // lists that many workers share, by their first finding
	for worker := range p.Workers() {
		if len(worker.Refusals) > 0 && !reported[&worker.Refusals[0]] {
			reported[&worker.Refusals[0]] = true
			c.refusals(worker)
		}
		c.add(worker.Notes...)
	}
}

func (c *checker) refusals(worker *plan.Worker) {
	for _, f := range worker.Refusals {
		f.Where.Worker = worker.Name
		if f.Layer != finding.LayerCard {
			f.Where.Card = pci.BDF{} // a problem of the host, for all of its cards
		}
		c.add(f)
	}
}
