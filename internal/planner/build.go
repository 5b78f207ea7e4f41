package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Build makes the plan that brings the world to the declared state.
func Build(in Input) *plan.Plan { return newBuilder(in).build() }

func (b *builder) build() *plan.Plan {
	for _, pool := range b.documents.pools {
		b.draftPool(pool)
	}
	b.draftUndeclared()
	b.reserve()
	b.decideExisting()
	b.decideNew()
	p := b.plan()
	if refused := p.Summary().Refused; b.in.Request.AllOrNothing && refused > 0 {
		p.Block(fmt.Sprintf("%s refused, and all or nothing was asked for", term.Count(refused, "worker")))
	}
	return p
}

// builder holds one plan while it is made.
type builder struct {
	in        Input
	documents *documents
	world     *inventory.Snapshot
	survey    *survey
	capacity  *place.Capacity
	usedIDs   int            // how many of the free identifiers this plan uses
	named     map[string]int // index of each worker in the request

	pools  []*poolDraft
	poolAt map[poolKey]*poolDraft
	// noFingerprint: the plan needs no fingerprint of the world.
	noFingerprint bool
	findings      []finding.Finding
	// unnamedClone is the identifier of a running clone that may become one of our
	// plain workers; "" when there is none.
	unnamedClone string
	// hidden is a VM that may be one of our plain workers but cannot be read; nil
	// when there is none.
	hidden   *inventory.VM
	searches map[requestKey]*place.Search
}

type poolDraft struct {
	name, kubeCluster, lifecycle string
	desired                      int // number of workers
	drafts                       []*draft
}

// draft is one worker of the plan while it is decided.
type draft struct {
	*plan.Worker
	pool       *v1alpha1.WorkerPool // nil for a worker that no document declares
	number     int                  // in its pool, from 1
	member     *member              // nil when the worker has no VM and no claim
	request    *v1alpha1.GPURequest // nil for a plain worker
	duplicates []plan.Worker        // further VMs of the same worker, to be destroyed
}

func (d *draft) key() inventory.WorkerKey {
	switch {
	case d.member != nil:
		return d.member.WorkerKey
	case d.pool == nil:
		return inventory.WorkerKey{Worker: d.Name}
	}
	return workerKeyOf(d.pool, d.Name)
}

func newBuilder(in Input) *builder {
	documents := documentsOf(in)
	b := &builder{
		in: in, documents: documents, world: in.Snapshot, survey: look(in.Snapshot, documents), capacity: place.NewCapacity(in.Snapshot), named: workerIndex(in.Request),
		poolAt: map[poolKey]*poolDraft{}, searches: map[requestKey]*place.Search{},
	}
	if in.Hypervisor != nil && in.Hypervisor.Spec.RequireHostFacts {
		b.capacity.RequireFacts()
	}
	b.findings, b.unnamedClone = b.survey.clones()
	b.hidden = b.findHidden()
	return b
}

// draftPool makes a draft for each worker of a pool: the existing workers, and the
// missing ones with the lowest free numbers.
func (b *builder) draftPool(pool *v1alpha1.WorkerPool) {
	p := &poolDraft{name: pool.Name, kubeCluster: pool.Spec.KubeCluster, lifecycle: string(pool.Spec.Lifecycle), desired: pool.Size()}
	b.addPool(p)
	members := b.survey.ofPool[keyOf(pool)]
	if pool.IsGPU() {
		b.draftCards(p, pool, members)
	} else {
		draftPlain(p, pool, members)
	}
	used := map[int]bool{}
	for _, d := range p.drafts {
		used[d.number] = true
	}
	next := 1
	for _, d := range p.drafts {
		if d.member == nil {
			for used[next] {
				next++
			}
			d.number, d.Name = next, cmp.Or(pool.WorkerName(next), fmt.Sprintf("%s-%d", pool.Name, next))
			next++
		}
	}
	slices.SortStableFunc(p.drafts, func(x, y *draft) int {
		return cmp.Or(compareNumbers(x.number, y.number), cmp.Compare(x.Name, y.Name))
	})
}

// addPool adds a pool to the plan. When several have the same name and KubeCluster,
// poolAt has the first.
func (b *builder) addPool(p *poolDraft) {
	b.pools = append(b.pools, p)
	if key := (poolKey{p.name, p.kubeCluster}); b.poolAt[key] == nil {
		b.poolAt[key] = p
	}
}

func (b *builder) draftCards(p *poolDraft, pool *v1alpha1.WorkerPool, members []*member) {
	open, first := make([]int, len(pool.Spec.GPUs)), firstEqual(pool.Spec.GPUs) // open: cards without a worker, by entry
	for i := range pool.Spec.GPUs {
		open[i] = pool.Spec.GPUs[i].Cards()
	}
	members, renamed := byName(pool, members)
	for _, m := range renamed {
		d := existingDraft(pool, m)
		d.Undeclared = true
		p.drafts = append(p.drafts, d)
	}
	for i, entry := range matchCards(b.world, pool, members) {
		d := existingDraft(pool, members[i])
		if d.Undeclared = entry < 0; !d.Undeclared {
			d.request = &pool.Spec.GPUs[first[entry]]
			open[entry]--
		}
		p.drafts = append(p.drafts, d)
	}
	for i := range pool.Spec.GPUs {
		for range open[i] {
			p.drafts = append(p.drafts, &draft{Worker: &plan.Worker{}, pool: pool, request: &pool.Spec.GPUs[first[i]]})
		}
	}
}

// draftPlain keeps the workers with the lowest numbers. A worker that holds a card
// does not belong to a pool without GPUs.
func draftPlain(p *poolDraft, pool *v1alpha1.WorkerPool, members []*member) {
	missing := pool.Size()
	for _, m := range members {
		d := existingDraft(pool, m)
		d.Undeclared = missing == 0 || !m.card.IsZero() || len(pool.Spec.Names) > 0 && m.number == 0
		if !d.Undeclared {
			missing--
		}
		p.drafts = append(p.drafts, d)
	}
	for range missing {
		p.drafts = append(p.drafts, &draft{Worker: &plan.Worker{}, pool: pool})
	}
}

// draftUndeclared makes a draft for each of our workers whose pool is not declared.
func (b *builder) draftUndeclared() {
	for _, m := range b.survey.order {
		if b.documents.pool(m.record()) != nil || !b.documents.declares(m.KubeCluster) || b.documents.reportedByAlias(m.record()) {
			continue
		}
		d := existingDraft(nil, m)
		d.Undeclared = true
		b.add(d)
	}
}

func existingDraft(pool *v1alpha1.WorkerPool, m *member) *draft {
	return &draft{Worker: &plan.Worker{Name: m.Worker}, pool: pool, number: m.number, member: m}
}

func (b *builder) all() func(yield func(*draft) bool) {
	return func(yield func(*draft) bool) {
		for _, p := range b.pools {
			for _, d := range p.drafts {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// reserve reserves the card of each existing worker of a declared pool: first for
// workers with a VM, then for workers that have only a claim.
func (b *builder) reserve() {
	for _, withVM := range []bool{true, false} {
		for d := range b.all() {
			if m := d.member; m != nil && !m.card.IsZero() && (m.vm != nil) == withVM && d.pool != nil {
				b.capacity.Reserve(m.card, m.Worker)
			}
		}
	}
}

func (b *builder) decideExisting() {
	for d := range b.all() {
		if d.member != nil && d.member.vm != nil {
			b.capacity.CountWorker(d.member.claimant(), d.member.vm.Home())
		}
	}
	for d := range b.all() {
		switch {
		case d.member == nil || d.member.vm == nil:
		case d.member.skipped:
			b.fill(d)
			d.Action, d.Reason = plan.Keep, "not part of this request"
		default:
			b.existing(d)
			d.duplicates = b.surplusVMs(d)
		}
	}
}

// decideNew places the workers that have no VM: first those whose card is claimed
// or named, then those with a choice of cards, the fewest choices first, and last
// the plain ones. So a worker with a choice does not take the only card that
// another one can use.
func (b *builder) decideNew() {
	var selecting, plain []*draft
	for d := range b.all() {
		switch {
		case d.member != nil && d.member.vm != nil:
		case d.Undeclared:
			b.onlyClaim(d)
		case d.member != nil:
			b.create(d)
		case d.request == nil:
			plain = append(plain, d)
		case cardRequirements(d.request).Ref.IsZero():
			selecting = append(selecting, d)
		default:
			b.create(d)
			b.keepForNamed(d)
		}
	}
	choices := map[requestKey]int{}
	for _, d := range selecting {
		if _, counted := choices[d.requestKey()]; !counted {
			choices[d.requestKey()] = b.search(d).Choices()
		}
	}
	slices.SortStableFunc(selecting, func(x, y *draft) int { return cmp.Compare(choices[x.requestKey()], choices[y.requestKey()]) })
	for _, d := range slices.Concat(selecting, plain) {
		b.create(d)
	}
}

// keepForNamed reserves a card for the request that names it, even while it cannot
// be attached, so that no selector of another pool takes it.
func (b *builder) keepForNamed(d *draft) {
	if needs := cardRequirements(d.request); !needs.Ref.IsZero() {
		b.capacity.Reserve(needs.Ref, d.Name)
	}
}

// needs are the requirements of a draft.
func (b *builder) needs(d *draft) place.Requirements {
	w := RequirementsOf(b.world.Capabilities, d.pool, d.Name, d.request)
	if d.member != nil {
		w.Holder = d.member.claimant()
		if !d.member.card.IsZero() {
			w.Card = &place.CardRequirements{Ref: d.member.card, Driver: d.pool.DriverRequest()}
		}
	}
	return w
}

func (b *builder) plan() *plan.Plan {
	p := b.empty()
	for _, from := range b.pools {
		pool := plan.Pool{Name: from.name, KubeCluster: from.kubeCluster, Lifecycle: from.lifecycle, Desired: from.desired, Workers: []plan.Worker{}}
		for _, m := range b.survey.ofPool[poolKey{from.name, from.kubeCluster}] {
			if m.vm != nil {
				pool.Present++
			}
		}
		for _, d := range from.drafts {
			pool.Workers = append(pool.Workers, *d.Worker)
			pool.Workers = append(pool.Workers, d.duplicates...)
		}
		p.Pools = append(p.Pools, pool)
	}
	p.Findings = append(p.Findings, b.findings...)
	finding.Sort(p.Findings)
	freeze(p, place.CheckWritable(b.world))
	b.noteClaims(p)
	return p
}

// noteClaims records the present claim on each worker's card: a new claim may
// replace only this one.
func (b *builder) noteClaims(p *plan.Plan) {
	for w := range p.Workers() {
		if w.Card.IsZero() || len(w.Steps) == 0 {
			continue
		}
		if claim := b.world.Claim(w.Card); claim != nil && claim.Record.Worker == w.Name && claim.Problem == "" {
			record := claim.Record
			w.Claimed = &record
		}
	}
}

// freeze refuses all workers that have steps, when the hypervisor takes no changes
// at present.
func freeze(p *plan.Plan, writable finding.Finding) {
	if !writable.Blocks() {
		return
	}
	for w := range p.Workers() {
		if len(w.Steps) > 0 {
			w.Action, w.Steps, w.Refusals = plan.Refuse, nil, []finding.Finding{writable}
			w.Changes, w.Hint = nil, ""
		}
	}
}

// empty is a plan without workers.
func (b *builder) empty() *plan.Plan {
	p := &plan.Plan{
		Hypervisor: b.world.Hypervisor, Product: b.world.Product, Version: b.world.Version, HostCount: len(b.world.Hosts),
		Pools: []plan.Pool{},
	}
	if !b.noFingerprint {
		p.Fingerprint = fingerprint(b.in)
	}
	world := append([]finding.Finding{place.CheckWritable(b.world)}, place.CheckAccess(b.world)...)
	for _, f := range slices.Concat(world, b.survey.duplicates(), b.in.InputFindings) {
		if f.Verdict != finding.Pass {
			p.Findings = append(p.Findings, f)
		}
	}
	return p
}

// surplusVMs plans the end of further VMs of one worker, such as two racing engines
// make. Ephemeral ones are destroyed; semi-persistent ones are only reported.
func (b *builder) surplusVMs(d *draft) []plan.Worker {
	var workers []plan.Worker
	for _, vm := range d.member.extraVMs {
		if d.pool == nil || isSemiPersistent(d.pool) || vm.Record.Lifecycle != string(v1alpha1.Ephemeral) || !vm.Record.Card.IsZero() || len(vm.Cards) > 0 {
			continue
		}
		duplicate := &member{WorkerKey: d.member.WorkerKey, vm: vm, unmarked: !marked(vm), host: vm.Home()}
		w := &draft{Worker: &plan.Worker{Name: duplicate.Worker}, pool: d.pool, member: duplicate}
		b.fill(w)
		b.destroy(w, fmt.Sprintf("a second VM of this worker: VM %s is kept", d.member.vm.ID))
		b.waitForLock(w)
		workers = append(workers, *w.Worker)
	}
	return workers
}
