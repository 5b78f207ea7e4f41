package planner

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
)

func workerKeyOf(pool *v1alpha1.WorkerPool, worker string) inventory.WorkerKey {
	return inventory.WorkerKey{Worker: worker, Pool: pool.Name, KubeCluster: pool.Spec.KubeCluster}
}

// member is what there is of one worker: its VM, its claim, or both.
type member struct {
	inventory.WorkerKey
	number   int           // of the name in its pool; 0 for any other name
	vm       *inventory.VM // nil when there is only a claim
	unmarked bool          // the VM is a clone that was not marked yet
	// passed: nobody looked at the VM. It has our mark and the worker's name, so it
	// counts as the worker where workers are counted, and nothing is decided of it.
	passed bool
	claim  *inventory.Claim // nil for a plain worker, or when it got lost

	host string      // of the card, else of the VM
	card pci.CardRef // zero for a plain worker

	extraVMs    []*inventory.VM    // further VMs of the same worker
	extraClaims []*inventory.Claim // further cards claimed for it
}

func (m *member) record() *inventory.Record {
	if m.vm != nil {
		return m.vm.Record
	}
	return &m.claim.Record
}

// survey is the observed world in the words of workers.
type survey struct {
	world     *inventory.Snapshot
	documents *documents
	members   map[inventory.WorkerKey]*member
	order     []*member // by pool, number and name
	ofPool    map[poolKey][]*member

	claimed map[string]*member // who claims a VM number; the first of several
	byName  *names             // nil until somebody asks
}

func look(world *inventory.Snapshot, documents *documents) *survey {
	s := &survey{world: world, documents: documents, members: map[inventory.WorkerKey]*member{}, ofPool: map[poolKey][]*member{}, claimed: map[string]*member{}}
	s.addVMs()
	s.addClaims()
	s.addPassed(documents)
	for _, m := range s.members {
		m.settle()
		s.order = append(s.order, m)
	}
	slices.SortFunc(s.order, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.KubeCluster, b.KubeCluster),
			compareNumbers(a.number, b.number), cmp.Compare(a.Worker, b.Worker))
	})
	for _, m := range s.order {
		pool := poolKey{m.Pool, m.KubeCluster}
		s.ofPool[pool] = append(s.ofPool[pool], m)
		for _, claim := range m.claims() {
			if claim.Record.VM != "" && s.claimed[claim.Record.VM] == nil {
				s.claimed[claim.Record.VM] = m
			}
		}
	}
	return s
}

// compareNumbers puts workers with an odd name last.
func compareNumbers(a, b int) int {
	if a == 0 || b == 0 {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

func (s *survey) member(key inventory.WorkerKey) *member {
	if s.members[key] == nil {
		s.members[key] = &member{WorkerKey: key, number: s.documents.numberOf(key)}
	}
	return s.members[key]
}

func (s *survey) addVMs() {
	for i := range s.world.VMs {
		vm := &s.world.VMs[i]
		if ownership, _ := vm.Ownership(); ownership == inventory.Ours || ownership == inventory.Unmarked {
			m := s.member(vm.Record.WorkerKey)
			m.extraVMs = append(m.extraVMs, vm)
		}
	}
}

// addClaims takes all claims but those that are being given back, whose worker
// is gone, and those whose record must not be believed.
func (s *survey) addClaims() {
	for i := range s.world.Claims {
		claim := &s.world.Claims[i]
		if !claim.Releasing && claim.Problem == "" {
			m := s.member(claim.Record.WorkerKey)
			m.extraClaims = append(m.extraClaims, claim)
		}
	}
}

// addPassed takes the VMs with our mark that nobody looked at for the workers that
// they are by their claims or names.
func (s *survey) addPassed(documents *documents) {
	claimed := map[string]*inventory.Claim{}
	for i := range s.world.Claims {
		claimed[s.world.Claims[i].Record.VM] = &s.world.Claims[i]
	}
	for i := range s.world.VMs {
		vm := &s.world.VMs[i]
		if !vm.Passed || !slices.Contains(vm.Tags, inventory.OwnerTag) {
			continue
		}
		record := inventory.Record{WorkerKey: inventory.WorkerKey{Worker: vm.Name}, VM: vm.ID}
		if claim := claimed[vm.ID]; claim != nil && claim.Record.Worker == vm.Name {
			record = claim.Record
		} else if pool, _ := documents.poolOf(vm.Name); pool != nil {
			record.Pool, record.KubeCluster, record.Lifecycle = pool.Name, pool.Spec.KubeCluster, string(pool.Spec.Lifecycle)
		} else {
			continue
		}
		if m := s.member(record.WorkerKey); len(m.extraVMs) == 0 {
			ghost := *vm
			ghost.Record = &record
			m.extraVMs, m.passed = []*inventory.VM{&ghost}, true
		}
	}
}

func (m *member) claims() []*inventory.Claim {
	if m.claim == nil {
		return m.extraClaims
	}
	return append([]*inventory.Claim{m.claim}, m.extraClaims...)
}

// settle chooses the VM and the claim that are the worker, when there are more
// than one: the VM that a claim names, else one that runs, else one that is
// marked, else the lowest number.
func (m *member) settle() {
	slices.SortFunc(m.extraVMs, func(a, b *inventory.VM) int {
		return cmp.Or(
			truesFirst(m.hasClaimFor(a), m.hasClaimFor(b)), truesFirst(a.Running, b.Running),
			truesFirst(marked(a), marked(b)), inventory.CompareIDs(a.ID, b.ID),
		)
	})
	if len(m.extraVMs) > 0 {
		m.vm, m.extraVMs = m.extraVMs[0], m.extraVMs[1:]
		m.unmarked = !marked(m.vm)
	}
	at := slices.IndexFunc(m.extraClaims, func(c *inventory.Claim) bool {
		return m.vm == nil || isFor(c, m.vm) || m.vm.Home() == c.Card.Host && !m.vm.Record.Card.IsZero() && m.vm.Record.Card.Slot == c.Card.Slot
	})
	if at >= 0 {
		m.claim = m.extraClaims[at]
		m.extraClaims = slices.Delete(m.extraClaims, at, at+1)
	} else if len(m.extraClaims) > 0 {
		m.claim, m.extraClaims = m.extraClaims[0], m.extraClaims[1:]
	}
	m.card = m.cardSeen()
	if m.host = m.card.Host; m.card.IsZero() {
		m.host = m.vm.Home()
	}
}

func (m *member) hasClaimFor(vm *inventory.VM) bool {
	return slices.ContainsFunc(m.extraClaims, func(c *inventory.Claim) bool { return isFor(c, vm) })
}

// isFor reports whether a claim of a worker is for this VM of it.
func isFor(c *inventory.Claim, vm *inventory.VM) bool {
	if c.Record.VM == "" { // nobody knew the identifier when the record was written
		return c.Record.UUID == vm.UUID
	}
	return c.Record.VM == vm.ID
}

func marked(vm *inventory.VM) bool {
	ownership, _ := vm.Ownership()
	return ownership == inventory.Ours
}

func truesFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// cardSeen is the worker's card: as claimed, else as noted in the VM, else as attached;
// zero for a plain worker.
func (m *member) cardSeen() pci.CardRef {
	if m.claim != nil {
		return m.claim.Card
	}
	if noted := m.vm.Record.Card; !noted.IsZero() {
		return pci.CardRef{Host: cmp.Or(noted.Host, m.vm.Home()), Slot: noted.Slot}
	}
	if card := m.vm.Machine.Card; card != nil {
		return card.Ref
	}
	return pci.CardRef{}
}

// holder is the worker as package place knows it.
func (m *member) holder() place.Holder {
	holder := place.Holder{WorkerKey: m.WorkerKey}
	if m.vm != nil {
		holder.VM = m.vm.ID
	}
	return holder
}

// isClone reports whether the VM is a clone that is being made, or should be.
func isClone(vm *inventory.VM) bool {
	return vm != nil && (vm.State == inventory.Cloning || vm.State == inventory.CloneDead)
}

// clones reports the clones that are being made and do not show whose they are:
// those whose identifier may be ours or that a claim names. running is the
// identifier of one that nobody claimed; "" for none.
func (s *survey) clones() (findings []finding.Finding, running string) {
	for i := range s.world.VMs {
		vm := &s.world.VMs[i]
		claimed := s.claimed[vm.ID] != nil
		if !isClone(vm) || vm.Name != "" || !claimed && !vm.FromRange {
			continue
		}
		switch {
		case vm.State == inventory.CloneDead:
			findings = append(findings, StuckClone(s.world, vm))
		case !claimed:
			running = vm.ID
			findings = append(findings, runningClone(s.world, vm))
		}
	}
	return findings, running
}

// StuckClone is the finding of a clone whose task died: only a person can take
// its lock away: no call of the API unlocks.
func StuckClone(world *inventory.Snapshot, vm *inventory.VM) finding.Finding {
	return vmFinding(world, vm, finding.VMCloneStuck, finding.Fail).
		WithReason(fmt.Sprintf("VM %s is locked by a clone that no task works on any more; its number is not used again", vm.ID)).
		WithFix(world.AdviseVM(inventory.RemoveClone, vm))
}

func runningClone(world *inventory.Snapshot, vm *inventory.VM) finding.Finding {
	return vmFinding(world, vm, finding.VMCloneRunning, finding.Info).
		WithReason(fmt.Sprintf("VM %s is being cloned by an earlier run or another engine; its name cannot be seen before it is done", vm.ID)).
		WithFix("apply waits for it")
}

func vmFinding(world *inventory.Snapshot, vm *inventory.VM, id finding.ID, verdict finding.Verdict) finding.Finding {
	return finding.New(id, verdict, fault.Place{Hypervisor: world.Hypervisor, Host: vm.Home(), VM: vm.ID, Worker: vm.Name})
}

// duplicates reports workers with more than one VM or card.
func (s *survey) duplicates() []finding.Finding {
	var findings []finding.Finding
	for _, m := range s.order {
		for _, vm := range m.extraVMs {
			findings = append(findings, vmFinding(s.world, vm, finding.VMDuplicate, finding.Fail).
				WithReason(fmt.Sprintf("VM %s on %s is worker %s too, which VM %s on %s is", vm.ID, vm.Home(), m.Worker, m.vm.ID, m.vm.Home())).
				WithFix(s.world.AdviseVM(inventory.RemoveDuplicate, vm)))
		}
		for _, claim := range m.extraClaims {
			where := fault.Place{Hypervisor: s.world.Hypervisor, Host: claim.Card.Host, Card: claim.Card.BDF(), Worker: m.Worker}
			findings = append(findings, finding.New(finding.CardClaimed, finding.Info, where).
				WithReason(fmt.Sprintf("claimed for worker %s, which has %s", m.Worker, m.card)).
				WithFix("gpuworker orphans --release gives it back"))
		}
	}
	return findings
}

// await notes which clone under way the worker has to wait for.
func (d *draft) await(vm *inventory.VM) {
	d.Awaits = &inventory.VMRef{Host: vm.Host, ID: vm.ID, Name: vm.Name, UUID: vm.UUID}
}
