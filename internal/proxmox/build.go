package proxmox

import (
	"context"
	"fmt"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// introduction is the sentence for people in the note of a VM that we made.
func introduction(record inventory.Record) string {
	return fmt.Sprintf("Worker %s of pool %s, made and kept by gpuworker. The next line is its identity: leave it as it is.", record.Worker, record.Pool)
}

// note returns the text of a VM's note: the text that people wrote, or else the
// introduction, and our record with its flags.
func note(record inventory.Record, rest string, flags ...string) string {
	if rest == "" {
		rest = introduction(record)
	}
	return rest + "\n" + record.Line(flags...)
}

// Configure implements hypervisor.Builder.
func (b *Backend) Configure(ctx context.Context, ref inventory.VMRef, record inventory.Record, desired inventory.Machine, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.configure(ctx, ref, record, desired, recall(handle))
	return wait, b.wrap(err, "configure the VM", place(ref))
}

const growWords = "the disk to grow"

// Progress of a configuration, in memo.Count.
const (
	written = iota + 1 // the options
	grown              // the disk
)

// configure writes the configuration, grows the disk, and marks the VM as ours last:
// so every VM that is ours has its configuration, even when Proxmox carries out a
// write in part (PVE::API2::Qemu, update_vm_api) or the disk cannot grow.
func (b *Backend) configure(ctx context.Context, ref inventory.VMRef, record inventory.Record, desired inventory.Machine, m memo) (*hypervisor.Wait, error) {
	state, wait, err := b.follow(ctx, ref, m, "resize", growWords)
	switch {
	case state == taskRunning, state == taskEnded && err != nil && pve.KindOf(err) != pve.Changed && !ambiguous(err):
		return wait, err
	case state != taskEnded || err != nil:
		m.Count = min(m.Count, written) // the disk may not have grown
	}
	found, err := b.proveOurClone(ctx, ref, record)
	if err != nil {
		return nil, err
	}
	set, remove := found.next.update(desired)
	key, _ := found.next.bootDisk()
	switch {
	case m.Count < written && len(set)+len(remove) > 0:
		wait, err := b.write(ctx, ref, found, pve.ConfigUpdate{Set: set, Delete: remove})
		if wait == nil && err == nil {
			wait = memo{Count: written}.wait("", 0)
		}
		return wait, err
	case m.Count < grown && key != "" && found.vm.Machine.DiskMiB < desired.DiskMiB: // it never shrinks
		return b.grow(ctx, ref, found, key, desired.DiskMiB)
	}
	return b.write(ctx, ref, found, pve.ConfigUpdate{Set: marks(found, record)})
}

// grow enlarges a disk of a VM.
func (b *Backend) grow(ctx context.Context, ref inventory.VMRef, found observedVM, key string, desiredMiB int) (*hypervisor.Wait, error) {
	task, err := b.client.Resize(ctx, ref.Host, number(ref.ID), key, fmt.Sprintf("%dM", desiredMiB), found.config.Digest)
	if pve.KindOf(err) == pve.Changed {
		return waitAfterConflict(), nil
	}
	return b.startedOrFound(ctx, ref, "resize", growWords, grown, task, err)
}

func refOf(record inventory.Record) inventory.VMRef {
	return inventory.VMRef{Host: record.Host, ID: record.VM, Name: record.Worker, UUID: record.UUID}
}

// proveOurClone reads a VM and proves that it is the VM of the record: ours, or a new
// clone that we made and have not marked yet.
func (b *Backend) proveOurClone(ctx context.Context, ref inventory.VMRef, record inventory.Record) (observedVM, error) {
	found, err := b.read(ctx, ref.Host, number(ref.ID), nil)
	if err != nil {
		return observedVM{}, err
	}
	ownership, why := found.vm.Ownership()
	fits := found.vm.Record != nil && found.vm.Record.UUID == record.UUID && found.vm.Record.WorkerKey == record.WorkerKey
	if fits && (ownership == inventory.Ours || ownership == inventory.Unmarked) {
		return found, nil
	}
	switch {
	case ownership == inventory.Foreign:
		why = noMark
	case why == "":
		why = "its note names another worker, or another VM of this worker"
	}
	return observedVM{}, b.notOurs(ref, found.vm, why)
}

// marks returns the options that make a VM provably ours. A new clone loses the tags
// of its template.
func marks(found observedVM, record inventory.Record) options {
	set := options{}
	ownership, _ := found.vm.Ownership()
	if ownership != inventory.Ours {
		set["tags"] = inventory.OwnerTag
		set["smbios1"] = withProperty(found.next["smbios1"], "uuid", record.UUID)
	}
	was, _ := parseRecord(found.next["description"])
	now := record
	now.By = was.Record.By // who made it, not who wrote last
	now.Unknown = was.Record.Unknown
	if now != was.Record {
		set["description"] = note(now, was.Rest, was.Flags...)
	}
	return set
}

// Attach implements hypervisor.Builder.
func (b *Backend) Attach(ctx context.Context, ref inventory.VMRef, record inventory.Record, card inventory.Card, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	where := place(ref)
	where.Card = card.Ref.BDF()
	wait, err := b.attach(ctx, ref, record, card)
	return wait, b.wrap(err, "attach the card", where)
}

// attach proves that the card is claimed for the VM, that no other VM has it, and
// then the VM's identity.
func (b *Backend) attach(ctx context.Context, ref inventory.VMRef, record inventory.Record, card inventory.Card) (*hypervisor.Wait, error) {
	check, err := b.guard(ctx, record, func(mappings) ([]pci.CardRef, error) { return []pci.CardRef{card.Ref}, nil })
	if err != nil {
		return nil, err
	}
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !check.valid() {
		return tooSlow(ref.Host), nil
	}
	has := cardOf(found.next, ref.Host, check.known)
	if has != nil && *has == card {
		return nil, nil
	}
	value := cardValue(found.next[cardOption], registerName(card.Ref), b.raw(), card)
	return b.write(ctx, ref, found, pve.ConfigUpdate{Set: options{cardOption: value}})
}
