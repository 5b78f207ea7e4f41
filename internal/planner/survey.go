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

// member is an existing worker: its VM, its claim, or both.
type member struct {
	inventory.WorkerKey
	number   int           // of the name in its pool; 0 for any other name
	vm       *inventory.VM // nil when there is only a claim
	unmarked bool          // the VM is a clone that is not marked yet
	// skipped: the VM's configuration was not read. It has our mark and the worker's
	// name, so it counts as a worker, but nothing is decided about it.
	skipped bool
	claim   *inventory.Claim // nil for a plain worker, or when it got lost

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

// survey is the observed world, sorted by workers.
type survey struct {
	world     *inventory.Snapshot
	documents *documents
	members   map[inventory.WorkerKey]*member
	order     []*member // by pool, number and name
	ofPool    map[poolKey][]*member

	claimed map[string]*member // by claimed VM number; the first of several
	byName  *names             // nil until it is needed
}

func look(world *inventory.Snapshot, documents *documents) *survey {
	s := &survey{world: world, documents: documents, members: map[inventory.WorkerKey]*member{}, ofPool: map[poolKey][]*member{}, claimed: map[string]*member{}}
	s.addVMs()
	s.addClaims()
	s.addSkipped(documents)
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

// compareNumbers puts workers without a number last.
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

// addClaims adds all claims except those that are being released, whose worker is
// gone, and those with an unusable record.
func (s *survey) addClaims() {
	for i := range s.world.Claims {
		claim := &s.world.Claims[i]
		if !claim.Releasing && claim.Problem == "" {
			m := s.member(claim.Record.WorkerKey)
			m.extraClaims = append(m.extraClaims, claim)
		}
	}
}

// addSkipped adds the VMs with our mark that were not read, as the workers that their
// claims or names say.
func (s *survey) addSkipped(documents *documents) {
	claimed := map[string]*inventory.Claim{}
	for i := range s.world.Claims {
		claimed[s.world.Claims[i].Record.VM] = &s.world.Claims[i]
	}
	for i := range s.world.VMs {
		vm := &s.world.VMs[i]
		if !vm.Skipped || !slices.Contains(vm.Tags, inventory.OwnerTag) {
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
			m.extraVMs, m.skipped = []*inventory.VM{&ghost}, true
		}
	}
}

func (m *member) claims() []*inventory.Claim {
	if m.claim == nil {
		return m.extraClaims
	}
	return append([]*inventory.Claim{m.claim}, m.extraClaims...)
}

// settle chooses the VM and the claim of the worker when there are several: the VM
// that a claim names, else one with which a replace is unfinished, else a running one,
// else one that a replace made, else a marked one, else the lowest number.
func (m *member) settle() {
	slices.SortFunc(m.extraVMs, func(a, b *inventory.VM) int {
		return cmp.Or(
			truesFirst(m.hasClaimFor(a), m.hasClaimFor(b)), truesFirst(a.Record.Replacing != "", b.Record.Replacing != ""),
			truesFirst(a.Running, b.Running), truesFirst(a.Record.Replaced != "", b.Record.Replaced != ""),
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

// isFor reports whether a claim of a worker is for this VM.
func isFor(c *inventory.Claim, vm *inventory.VM) bool {
	if c.Record.VM == "" { // the identifier was not known when the record was written
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

// cardSeen is the worker's card: from its claim, else from the VM's record, else from
// the VM's configuration; zero for a plain worker.
func (m *member) cardSeen() pci.CardRef {
	if m.claim != nil {
		return m.claim.Card
	}
	if recorded := m.vm.Record.Card; !recorded.IsZero() {
		return pci.CardRef{Host: cmp.Or(recorded.Host, m.vm.Home()), Slot: recorded.Slot}
	}
	if card := m.vm.Machine.Card; card != nil {
		return card.Ref
	}
	return pci.CardRef{}
}

// holder is the worker for package place.
func (m *member) claimant() place.Holder {
	holder := place.Holder{WorkerKey: m.WorkerKey}
	if m.vm != nil {
		holder.VM = m.vm.ID
	}
	return holder
}

// isClone reports whether the VM is an unfinished clone, running or dead.
func isClone(vm *inventory.VM) bool {
	return vm != nil && (vm.State == inventory.Cloning || vm.State == inventory.CloneDead)
}

// clones reports unfinished clones without a name that may be ours, by their
// identifier or by a claim. running is the identifier of a running clone that no
// claim names; "" for none.
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

// StuckClone is the finding of a clone whose task died. Only a person can remove its
// lock: no call of the API does.
func StuckClone(world *inventory.Snapshot, vm *inventory.VM) finding.Finding {
	return vmFinding(world, vm, finding.VMCloneStuck, finding.Fail).
		WithReason(fmt.Sprintf("VM %s is locked by a clone whose task is gone; its number is not used again", vm.ID)).
		WithFix(world.AdviseVM(inventory.RemoveClone, vm))
}

func runningClone(world *inventory.Snapshot, vm *inventory.VM) finding.Finding {
	return vmFinding(world, vm, finding.VMCloneRunning, finding.Info).
		WithReason(fmt.Sprintf("VM %s is being cloned by an earlier run or another engine; its name is visible only when the clone is done", vm.ID)).
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
				WithReason(fmt.Sprintf("VM %s on %s is a second VM of worker %s, which is VM %s on %s", vm.ID, vm.Home(), m.Worker, m.vm.ID, m.vm.Home())).
				WithFix(s.world.AdviseVM(inventory.RemoveDuplicate, vm)))
		}
		for _, claim := range m.extraClaims {
			where := fault.Place{Hypervisor: s.world.Hypervisor, Host: claim.Card.Host, Card: claim.Card.BDF(), Worker: m.Worker}
			findings = append(findings, finding.New(finding.CardClaimed, finding.Info, where).
				WithReason(fmt.Sprintf("claimed for worker %s, which already has card %s", m.Worker, m.card)).
				WithFix("gpuworker orphans --release gives it back"))
		}
	}
	return findings
}

// await notes which running clone the worker has to wait for.
func (d *draft) await(vm *inventory.VM) {
	d.Awaits = &inventory.VMRef{Host: vm.Host, ID: vm.ID, Name: vm.Name, UUID: vm.UUID}
}
