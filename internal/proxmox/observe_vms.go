package proxmox

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// observeVMs reads the configuration of every relevant VM: only the configuration
// shows its cards and its owner; tags can be wrong.
func (b *Backend) observeVMs(ctx context.Context, s *inventory.Snapshot, scope hypervisor.Scope, known mappings, resources []pve.Resource) error {
	vms := slices.DeleteFunc(slices.Clone(resources), func(r pve.Resource) bool { return r.Type != "qemu" })
	slices.SortFunc(vms, func(x, y pve.Resource) int { return x.VMID - y.VMID })
	found := make([]*inventory.VM, len(vms))
	matters := b.needsRead(s, scope)
	if scope.Only != nil {
		matters = needsReadFor(s, scope.Only)
	}
	var read []int // indexes
	for i, r := range vms {
		if matters(r) {
			read = append(read, i)
			continue
		}
		found[i] = listed(r)
		found[i].Skipped = true
	}
	err := forEach(ctx, read, func(i int) string { return vms[i].Node }, func(ctx context.Context, i int) (err error) {
		found[i], err = b.observeVM(ctx, s, vms[i], known)
		return err
	})
	if err != nil {
		return err
	}
	for _, vm := range found {
		if vm != nil {
			vm.FromRange = fromRange(b.spec.VMIDs, number(vm.ID))
			s.VMs = append(s.VMs, *vm)
		}
	}
	b.observeLocks(ctx, s, known)
	b.observePower(ctx, s)
	return nil
}

// needsRead returns which VMs are read: all that can hold a card, and all that are
// or may be ours. On a cluster where few hosts have cards, most VMs are neither, and
// each read costs a request.
func (b *Backend) needsRead(s *inventory.Snapshot, scope hypervisor.Scope) func(pve.Resource) bool {
	claimed := map[string]bool{}
	for i := range s.Claims {
		claimed[s.Claims[i].Record.VM] = true
	}
	cards := map[string]bool{}
	for i := range s.Hosts {
		cards[s.Hosts[i].Name] = mayHaveCards(&s.Hosts[i])
	}
	ofPool := func(name string) bool {
		return slices.Contains(scope.Workers, name) || slices.ContainsFunc(scope.Pools, func(pool string) bool { return strings.HasPrefix(name, pool+"-") })
	}
	return func(r pve.Resource) bool {
		hasCards, seen := cards[r.Node]
		return hasCards || !seen || r.Template || r.Lock != "" || r.Status == "unknown" ||
			slices.Contains(r.TagList(), inventory.OwnerTag) || ofPool(r.Name) || claimed[idOf(r.VMID)] ||
			fromRange(b.spec.VMIDs, r.VMID) || slices.Contains(scope.VMs, idOf(r.VMID))
	}
}

// needsReadFor returns which VMs are read when only some workers are observed: those
// that have their names or are claimed for them, those whose name the list does not
// show, and, if requested, all other VMs of the same hosts.
func needsReadFor(s *inventory.Snapshot, only *hypervisor.Extent) func(pve.Resource) bool {
	named, theirs := setOf(only.Workers), map[string]bool{}
	for i := range s.Claims {
		if named[s.Claims[i].Record.Worker] {
			theirs[s.Claims[i].Record.VM] = true
		}
	}
	passed := map[string]bool{}
	for i := range s.Hosts {
		passed[s.Hosts[i].Name] = s.Hosts[i].Skipped
	}
	return func(r pve.Resource) bool {
		return named[r.Name] || theirs[idOf(r.VMID)] || r.Status == "unknown" || r.Name == "" ||
			only.Neighbours && !passed[r.Node]
	}
}

// mayHaveCards is false only for a host whose devices were read and include no GPU.
func mayHaveCards(h *inventory.Host) bool {
	unseen := slices.ContainsFunc(h.Gaps, func(g inventory.Gap) bool { return g.What == "PCI devices" })
	return !h.Online || unseen || len(h.Devices) == 0 || len(h.GPUs()) > 0
}

// listed converts a VM of the cluster's resource list.
func listed(r pve.Resource) *inventory.VM {
	vm := &inventory.VM{
		ID: idOf(r.VMID), Host: r.Node, Name: r.Name, Template: r.Template,
		Running: r.Status == "running", Tags: r.TagList(),
	}
	vm.State, vm.Locked = stateOf(r.Lock)
	return vm
}

// observeVM reads one VM; nil when it does not exist any more.
func (b *Backend) observeVM(ctx context.Context, s *inventory.Snapshot, r pve.Resource, known mappings) (*inventory.VM, error) {
	unread := listed(r)
	if host := s.Host(r.Node); host == nil || !host.Online {
		unread.Unreadable = "its host " + r.Node + " does not answer"
		return unread, nil
	}
	found, err := b.read(ctx, r.Node, r.VMID, known)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case pve.KindOf(err) == pve.NotFound:
		return nil, nil
	default:
		unread.Unreadable = err.Error()
		return unread, nil
	}
	found.vm.Running = r.Status == "running"
	return &found.vm, nil
}

// observePower asks the hosts whether our own VMs run: decisions depend on it, and
// the cluster's resource list may be some seconds late. When a host does not
// answer, the value of the list stays.
func (b *Backend) observePower(ctx context.Context, s *inventory.Snapshot) {
	b.onHosts(s, func(vm *inventory.VM) bool { return vm.Record != nil && !vm.Template }, func(host string) {
		now, err := b.client.VMs(ctx, host)
		if err != nil {
			return
		}
		running := map[int]bool{}
		for _, status := range now {
			running[status.VMID] = status.Running()
		}
		// Only this host's VMs: other goroutines write the others.
		for _, vm := range s.Residents(host) {
			if up, told := running[number(vm.ID)]; told {
				vm.Running = up
			}
		}
	})
}

// observeLocks finds clones whose task died: their lock is never released. When the
// tasks cannot be read, a clone counts as running.
func (b *Backend) observeLocks(ctx context.Context, s *inventory.Snapshot, known mappings) {
	cloning := func(vm *inventory.VM) bool { return vm.State == inventory.Cloning && vm.Unreadable == "" }
	b.onHosts(s, cloning, func(host string) {
		if b.cloneRuns(ctx, host) {
			return
		}
		for _, vm := range s.Residents(host) {
			if !cloning(vm) {
				continue
			}
			if found, err := b.readIdle(ctx, host, number(vm.ID), known); err == nil {
				found.vm.Running, found.vm.FromRange = vm.Running, vm.FromRange
				*vm = found.vm
			}
		}
	})
}

// cloneRuns reports whether a clone task runs on a host; true when it is unknown.
func (b *Backend) cloneRuns(ctx context.Context, host string) bool {
	tasks, err := b.client.Tasks(ctx, host, pve.TaskFilter{Source: "active", Type: "qmclone"})
	return err != nil || runs(tasks)
}

// readIdle reads a VM again that had a clone lock, after its host was seen without
// a clone task. Only a lock that is still present is dead: otherwise the clone ended
// between the two reads.
func (b *Backend) readIdle(ctx context.Context, host string, vmid int, known mappings) (observedVM, error) {
	found, err := b.read(ctx, host, vmid, known)
	if err == nil && found.vm.State == inventory.Cloning {
		found.vm.State = inventory.CloneDead
	}
	return found, err
}

// onHosts calls do for each host that has a VM of a kind, in parallel.
func (b *Backend) onHosts(s *inventory.Snapshot, kind func(*inventory.VM) bool, do func(host string)) {
	var g errgroup.Group
	g.SetLimit(maxRequests)
	for i := range s.Hosts {
		if host := s.Hosts[i].Name; slices.ContainsFunc(s.Residents(host), kind) {
			g.Go(func() error {
				do(host)
				return nil
			})
		}
	}
	_ = g.Wait()
}

// runs reports whether any of the tasks is running.
func runs(tasks []pve.TaskInfo) bool { return slices.ContainsFunc(tasks, pve.TaskInfo.Running) }

// ObserveVM implements hypervisor.Source, on the host of the reference.
func (b *Backend) ObserveVM(ctx context.Context, ref inventory.VMRef) (*inventory.VM, error) {
	vm, err := b.observeOne(ctx, ref)
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	return vm, b.wrap(err, "look at the VM", place(ref))
}

// observeOne reads a VM and, unless it is being cloned, what its configuration does
// not contain: the cards of its mappings, and whether it runs.
func (b *Backend) observeOne(ctx context.Context, ref inventory.VMRef) (*inventory.VM, error) {
	found, err := b.read(ctx, ref.Host, number(ref.ID), nil)
	if err != nil {
		return nil, err
	}
	if found.vm.State == inventory.Cloning && !b.cloneRuns(ctx, ref.Host) {
		if found, err = b.readIdle(ctx, ref.Host, number(ref.ID), nil); err != nil {
			return nil, err
		}
	}
	vm := &found.vm
	if vm.State != inventory.Cloning && vm.State != inventory.CloneDead {
		known, err := b.mappingsNow(ctx)
		if err != nil {
			return nil, err
		}
		*vm = parseVM(found.config, ref.Host, number(ref.ID), known)
		if vm.Running, err = b.running(ctx, ref); err != nil {
			return nil, err
		}
	}
	vm.FromRange = fromRange(b.spec.VMIDs, number(ref.ID))
	return vm, nil
}
