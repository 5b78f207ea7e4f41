package memory

import (
	"context"
	"errors"
	"slices"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/hypervisor/vmclaim"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Observe implements hypervisor.Source. It observes everything, whatever the scope.
func (b *Backend) Observe(ctx context.Context, scope hypervisor.Scope) (*inventory.Snapshot, error) {
	hosts, err := request(ctx, b, false, func(c *Cluster) ([]inventory.Host, error) { return slices.Clone(c.hosts), nil })
	if err != nil {
		return nil, b.wrap(err, "reach the hypervisor", inventory.VMRef{})
	}
	all, err := b.readAll(ctx)
	if err != nil {
		return nil, b.wrap(err, "look at the VMs", inventory.VMRef{})
	}
	s := &inventory.Snapshot{Hypervisor: b.name, Product: "memory", Version: "1.0", Supported: true, Capabilities: b.Capabilities(), Hosts: hosts}
	var claims []vmclaim.VM
	for i := range all {
		vm := all[i].observed()
		if scope.Agents && vm.Running {
			vm.Agent = inventory.Off
			if all[i].answers() {
				vm.Agent, vm.Addresses = inventory.On, all[i].addresses()
			}
		}
		s.VMs = append(s.VMs, vm)
		if !vm.Template {
			claims = append(claims, all[i].claims())
		}
	}
	if scope.Seeds {
		s.Seeds = seeds(all)
	}
	slices.SortFunc(s.VMs, func(x, y inventory.VM) int { return inventory.CompareIDs(x.ID, y.ID) })
	s.Claims = vmclaim.Claims(claims, cardsOf(hosts))
	slices.SortStableFunc(s.Claims, func(x, y inventory.Claim) int {
		return x.Card.Compare(y.Card)
	})
	return s, nil
}

// cardsOf are the GPUs of all hosts.
func cardsOf(hosts []inventory.Host) []pci.CardRef {
	var cards []pci.CardRef
	for i := range hosts {
		for _, gpu := range hosts[i].GPUs() {
			cards = append(cards, hosts[i].Ref(gpu))
		}
	}
	return cards
}

// ObserveVM implements hypervisor.Source. It needs only the identifier, since a
// stopped VM has no host.
func (b *Backend) ObserveVM(ctx context.Context, ref inventory.VMRef) (*inventory.VM, error) {
	found, err := b.read(ctx, ref.ID)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		return nil, b.wrap(err, "look at the VM", ref)
	}
	vm := found.observed()
	return &vm, nil
}

// observed is the VM in the terms of package inventory.
func (s *seen) observed() inventory.VM {
	vm := inventory.VM{
		ID: s.id, Host: s.host, Name: s.name, Template: s.template, Running: s.running, Tags: s.tags, UUID: s.uuid,
		Machine: s.next, Applied: s.next, CloudInit: s.seed == inventory.NoSeed, Seed: s.seed, BootDisk: s.next.Storage + ":" + s.id,
		Cards: s.attachments(),
	}
	if s.running {
		vm.Applied = s.applied
	}
	if s.template {
		vm.Storages = []string{s.next.Storage}
	}
	switch {
	case s.doing == "clone":
		vm.State = inventory.Cloning
	case s.lock != "":
		vm.State, vm.Locked = inventory.Locked, s.lock
	}
	switch {
	case s.record.Problem != "":
		vm.RecordProblem = s.record.Problem
	case s.record.Record.Worker != "":
		vm.Record = &s.record.Record
	}
	return vm
}

// attachments are the cards of the running and of the pending configuration.
func (s *seen) attachments() []inventory.Attachment {
	var all []inventory.Attachment
	add := func(c inventory.Machine, pending, leaving bool) {
		if card, ok := cardOf(c); ok {
			all = append(all, inventory.Attachment{Key: "card0", Cards: []pci.CardRef{card}, Pending: pending, Leaving: leaving})
		}
	}
	now, _ := cardOf(s.applied)
	next, _ := cardOf(s.next)
	switch {
	case s.host == "":
		add(s.next, false, false)
	case now == next:
		add(s.applied, false, false)
	default:
		add(s.applied, false, true)
		add(s.next, true, false)
	}
	return all
}
