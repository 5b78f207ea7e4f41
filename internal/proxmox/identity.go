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

// observedVM is the result of one read of a VM: GET /nodes/{node}/qemu/{vmid}/pending
// returns the current and the pending configuration, and the digest of both.
type observedVM struct {
	config pve.PendingConfig
	next   options
	vm     inventory.VM // without Running, which the configuration does not contain
}

// read reads a VM's configuration and caches what checks of other VMs need. known
// resolves mappings to cards; nil when cards are not needed.
func (b *Backend) read(ctx context.Context, host string, vmid int, known mappings) (observedVM, error) {
	cache := b.cache(host)
	began := cache.begin()
	config, err := b.client.Pending(ctx, host, vmid)
	if pve.KindOf(err) == pve.NotFound {
		cache.forget(vmid)
	}
	if err != nil {
		return observedVM{}, err
	}
	found := observedVM{config: config, next: nextOptions(config), vm: parseVM(config, host, vmid, known)}
	cache.remember(vmid, began, found)
	return found, nil
}

// parseVM converts a configuration. Pure.
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
		Seed:      next.seedState(next.uuid()),
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

// parseRecord finds the record in a note or a register's description. On Proxmox,
// a valid record names a VM number.
func parseRecord(text string) (note inventory.Note, ok bool) {
	note, ok = inventory.ParseRecord(text)
	if ok && note.Problem == "" && number(note.Record.VM) == 0 {
		return inventory.Note{Rest: note.Rest, Problem: "its record is damaged: it names no VM number"}, true
	}
	return note, ok
}

// stateOf converts a lock. Only a new VM has a clone lock; it has a name and a note
// as soon as its first disk exists (PVE::API2::Qemu, clone_vm).
func stateOf(lock string) (state inventory.VMState, by string) {
	switch lock {
	case "":
		return inventory.Free, ""
	case "clone":
		return inventory.Cloning, ""
	}
	return inventory.Locked, lock
}

// noMark is the reason why a VM without any of our marks is not ours.
const noMark = "it has neither our tag nor our note"

// prove reads the VM of ref and proves that it is this VM and that it is ours.
func (b *Backend) prove(ctx context.Context, ref inventory.VMRef) (observedVM, error) {
	found, err := b.read(ctx, ref.Host, number(ref.ID), nil)
	if err != nil {
		return observedVM{}, err
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
	return observedVM{}, b.notOurs(ref, found.vm, why)
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

// write changes a VM's configuration by compare-and-swap, with the digest of the
// read. It returns a Wait when the VM has changed, or when it is unknown whether the
// write arrived: the next read shows it.
func (b *Backend) write(ctx context.Context, ref inventory.VMRef, found observedVM, update pve.ConfigUpdate) (*hypervisor.Wait, error) {
	if len(update.Set) == 0 && len(update.Delete) == 0 {
		return nil, nil
	}
	update.Digest = found.config.Digest
	err := b.client.UpdateConfig(ctx, ref.Host, number(ref.ID), update)
	if concernsOthers(update) {
		b.cache(ref.Host).forget(number(ref.ID))
	}
	if pve.KindOf(err) == pve.Changed || ambiguous(err) {
		return waitAfterConflict(), nil
	}
	return nil, err
}

// concernsOthers reports whether an update changes what is cached of a VM.
func concernsOthers(update pve.ConfigUpdate) bool {
	keys := slices.AppendSeq(slices.Clone(update.Delete), maps.Keys(update.Set))
	return slices.ContainsFunc(keys, func(key string) bool {
		return strings.HasPrefix(key, "hostpci") || key == "name" || key == "description"
	})
}

// writeOurs proves that a VM is ours and then writes it. change returns an empty
// update when there is nothing to do.
func (b *Backend) writeOurs(ctx context.Context, ref inventory.VMRef, change func(observedVM) pve.ConfigUpdate) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	return b.write(ctx, ref, found, change(found))
}

// number converts a VM's identifier, which is a number on Proxmox; 0, which no VM
// has, when it is not a number.
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
