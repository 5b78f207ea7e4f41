package proxmox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// seen is one VM as one read showed it: GET /nodes/{node}/qemu/{vmid}/pending
// carries the running and the pending configuration and the digest of both.
type seen struct {
	config pve.PendingConfig
	next   options
	vm     inventory.VM // without Running: that is no part of the configuration
}

// read looks at a VM's configuration, and remembers what matters to the VM's
// neighbours. known resolves mappings to cards; nil when cards do not matter.
func (b *Backend) read(ctx context.Context, host string, vmid int, known mappings) (seen, error) {
	view := b.view(host)
	began := view.begin()
	config, err := b.client.Pending(ctx, host, vmid)
	if pve.KindOf(err) == pve.NotFound {
		view.forget(vmid)
	}
	if err != nil {
		return seen{}, err
	}
	found := seen{config: config, next: nextOptions(config), vm: parseVM(config, host, vmid, known)}
	view.remember(vmid, began, found)
	return found, nil
}

// parseVM translates a configuration. Pure.
func parseVM(config pve.PendingConfig, host string, vmid int, known mappings) inventory.VM {
	next, applied := nextOptions(config), appliedOptions(config)
	_, volume := next.bootDisk()
	vm := inventory.VM{
		VMID: vmid, Host: host,
		Name:      next["name"],
		Template:  next.flag("template"),
		Lock:      next["lock"],
		Tags:      next.tags(),
		UUID:      next.uuid(),
		Cards:     attachments(config, host, known),
		Machine:   next.machine(),
		Applied:   applied.machine(),
		CloudInit: next.cloudInitDrive(),
		BootDisk:  volume,
	}
	if vm.Template {
		vm.Storages = next.storages()
	}
	vm.Machine.Card = cardOf(next, host, known)
	vm.Applied.Card = cardOf(applied, host, known)
	switch note, ok := inventory.ParseRecord(next["description"]); {
	case note.Problem != "":
		vm.RecordProblem = note.Problem
	case ok:
		vm.Record = &note.Record
	}
	return vm
}

// noMark is why a VM is not ours, when nothing speaks for it.
const noMark = "it carries neither our tag nor our note"

// prove reads the VM of ref and makes sure that it is that very VM and ours.
func (b *Backend) prove(ctx context.Context, ref inventory.VMRef) (seen, error) {
	found, err := b.read(ctx, ref.Host, ref.VMID, nil)
	if err != nil {
		return seen{}, err
	}
	ownership, why := found.vm.Ownership()
	switch {
	case ownership == inventory.Foreign:
		why = noMark
	case ownership == inventory.Fresh:
		why = "it was never marked as ours"
	case ownership == inventory.Ours && found.vm.UUID != ref.UUID:
		why = fmt.Sprintf("its UUID is %s, the worker's is %s", found.vm.UUID, ref.UUID)
	case ownership == inventory.Ours && found.vm.Name != ref.Name:
		why = fmt.Sprintf("it is worker %q", found.vm.Name)
	case ownership == inventory.Ours:
		return found, nil
	}
	return seen{}, b.notOurs(ref, found.vm, why)
}

func (b *Backend) notOurs(ref inventory.VMRef, vm inventory.VM, why string) error {
	return &fault.Error{
		Kind:  fault.Conflict,
		Doing: "prove that the VM is " + ref.Name,
		Where: fault.Place{Hypervisor: b.name, Host: ref.Host, VMID: ref.VMID},
		Why:   fmt.Sprintf("this is another VM now (%q): %s; it was not touched", vm.Name, why),
		Fix:   "gpuworker plan shows where the worker is now; gpuworker adopt takes a VM over on purpose",
	}
}

// swap changes a VM's configuration by compare-and-swap: it reads, lets check
// prove and change decide, and writes with the digest of what was read. When
// the VM changed in between, when it is locked for a moment, or when it is not
// known whether the write was carried out, it starts over. change returns an
// empty update when there is nothing left to do.
func (b *Backend) swap(ctx context.Context, host string, vmid int, look func(context.Context) (seen, error), change func(seen) pve.ConfigUpdate) error {
	const tries = 6
	var last error
	for try := range tries {
		found, err := look(ctx)
		if err != nil {
			return err
		}
		update := change(found)
		if len(update.Set) == 0 && len(update.Delete) == 0 {
			return nil
		}
		update.Digest = found.config.Digest
		last = b.client.UpdateConfig(ctx, host, vmid, update)
		if concernsOthers(update) {
			b.view(host).forget(vmid)
		}
		switch {
		case last == nil:
			return nil
		case pve.KindOf(last) == pve.Changed, pve.KindOf(last) == pve.Locked, ambiguous(last):
			if err := pause(ctx, time.Duration(try+1)*500*time.Millisecond); err != nil {
				return err
			}
		default:
			return last
		}
	}
	return last
}

// concernsOthers reports whether an update changes what is remembered of a VM for
// its neighbours.
func concernsOthers(update pve.ConfigUpdate) bool {
	keys := slices.AppendSeq(slices.Clone(update.Delete), maps.Keys(update.Set))
	return slices.ContainsFunc(keys, func(key string) bool {
		return strings.HasPrefix(key, "hostpci") || key == "name" || key == "description"
	})
}

// swapOurs is swap on a VM that is proven to be ours.
func (b *Backend) swapOurs(ctx context.Context, ref inventory.VMRef, change func(seen) pve.ConfigUpdate) error {
	look := func(ctx context.Context) (seen, error) { return b.prove(ctx, ref) }
	return b.swap(ctx, ref.Host, ref.VMID, look, change)
}

func place(ref inventory.VMRef) fault.Place {
	return fault.Place{Host: ref.Host, VMID: ref.VMID, Worker: ref.Name}
}
