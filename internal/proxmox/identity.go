package proxmox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
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
		ID: idOf(vmid), Host: host,
		Name:      next["name"],
		Template:  next.flag("template"),
		Tags:      next.tags(),
		UUID:      next.uuid(),
		Cards:     attachments(config, host, known),
		Machine:   next.machine(),
		Applied:   applied.machine(),
		CloudInit: next.cloudInitDrive(),
		BootDisk:  volume,
	}
	vm.State, vm.Locked = stateOf(next["lock"])
	if vm.Template {
		vm.Storages = next.storages()
	}
	vm.Machine.Card = cardOf(next, host, known)
	vm.Applied.Card = cardOf(applied, host, known)
	switch note, ok := parseRecord(next["description"]); {
	case note.Problem != "":
		vm.RecordProblem = note.Problem
	case ok:
		vm.Record = &note.Record
	}
	return vm
}

// parseRecord finds the record in a note or a register's description. Here every
// record names the number of its VM.
func parseRecord(text string) (note inventory.Note, ok bool) {
	note, ok = inventory.ParseRecord(text)
	if ok && note.Problem == "" && number(note.Record.VM) == 0 {
		return inventory.Note{Rest: note.Rest, Problem: "its record is damaged: it names no VM number"}, true
	}
	return note, ok
}

// stateOf reads a lock. Only a VM that is being made is locked by a clone; it has a
// name, and the note, as soon as its first disk is there (PVE::API2::Qemu, clone_vm).
func stateOf(lock string) (state inventory.VMState, by string) {
	switch lock {
	case "":
		return inventory.Free, ""
	case "clone":
		return inventory.Cloning, ""
	}
	return inventory.Locked, lock
}

// noMark is why a VM is not ours, when nothing speaks for it.
const noMark = "it carries neither our tag nor our note"

// prove reads the VM of ref and makes sure that it is that very VM and ours.
func (b *Backend) prove(ctx context.Context, ref inventory.VMRef) (seen, error) {
	found, err := b.read(ctx, ref.Host, number(ref.ID), nil)
	if err != nil {
		return seen{}, err
	}
	ownership, why := found.vm.Ownership()
	switch {
	case ownership == inventory.Foreign:
		why = noMark
	case ownership == inventory.Unmarked:
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
		Where: fault.Place{Hypervisor: b.name, Host: ref.Host, VM: ref.ID},
		Why:   fmt.Sprintf("this is another VM now (%q): %s; it was not touched", vm.Name, why),
		Fix:   "gpuworker plan shows where the worker is now; gpuworker adopt takes a VM over on purpose",
	}
}

// write changes a VM's configuration by compare-and-swap: with the digest of what
// was found. When the VM changed meanwhile, or nobody knows whether the write
// arrived, the caller's next look tells.
func (b *Backend) write(ctx context.Context, ref inventory.VMRef, found seen, update pve.ConfigUpdate) (*hypervisor.Wait, error) {
	if len(update.Set) == 0 && len(update.Delete) == 0 {
		return nil, nil
	}
	update.Digest = found.config.Digest
	err := b.client.UpdateConfig(ctx, ref.Host, number(ref.ID), update)
	if concernsOthers(update) {
		b.view(ref.Host).forget(number(ref.ID))
	}
	if pve.KindOf(err) == pve.Changed || ambiguous(err) {
		return second(), nil
	}
	return nil, err
}

// concernsOthers reports whether an update changes what is remembered of a VM for
// its neighbours.
func concernsOthers(update pve.ConfigUpdate) bool {
	keys := slices.AppendSeq(slices.Clone(update.Delete), maps.Keys(update.Set))
	return slices.ContainsFunc(keys, func(key string) bool {
		return strings.HasPrefix(key, "hostpci") || key == "name" || key == "description"
	})
}

// writeOurs is write on a VM that is proven to be ours. change returns an empty
// update when there is nothing left to do.
func (b *Backend) writeOurs(ctx context.Context, ref inventory.VMRef, change func(seen) pve.ConfigUpdate) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	return b.write(ctx, ref, found, change(found))
}

// number is the number of a VM, which is its identifier here; 0, which no VM has,
// for what is none.
func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil || n < 0 || strconv.Itoa(n) != id {
		return 0
	}
	return n
}

func idOf(vmid int) string { return strconv.Itoa(vmid) }

func place(ref inventory.VMRef) fault.Place {
	return fault.Place{Host: ref.Host, VM: ref.ID, Worker: ref.Name}
}
