package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Adopt implements apply.Remover.
func (b *Backend) Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record) error {
	look := func(ctx context.Context) (seen, error) {
		found, err := b.read(ctx, ref.Host, ref.VMID, nil)
		if err != nil {
			return seen{}, err
		}
		ownership, _ := found.vm.Ownership()
		done := ownership == inventory.Ours && sameVM(*found.vm.Record, record)
		if !done && (found.vm.Name != ref.Name || found.vm.UUID != ref.UUID) {
			return seen{}, b.notOurs(ref, found.vm, "its name or UUID changed since it was named")
		}
		if found.vm.RecordProblem != "" {
			return seen{}, b.notOurs(ref, found.vm, found.vm.RecordProblem)
		}
		if ownership == inventory.Ours && !done || found.vm.Template || found.vm.Lock != "" {
			return seen{}, b.notOurs(ref, found.vm, "it is a template, locked, or another worker")
		}
		return found, nil
	}
	err := b.swap(ctx, ref.Host, ref.VMID, look, func(found seen) pve.ConfigUpdate {
		return pve.ConfigUpdate{Set: adoption(found, record)}
	})
	return b.wrap(err, "adopt the VM", place(ref))
}

// adoption is what makes somebody's VM ours: name, tag, note, UUID. Its other
// tags and the text of its note stay.
func adoption(found seen, record inventory.Record) options {
	set := options{}
	if found.vm.Name != record.Worker {
		set["name"] = record.Worker
	}
	if found.vm.UUID != record.UUID {
		set["smbios1"] = withProperty(found.next["smbios1"], "uuid", record.UUID)
	}
	if !slices.Contains(found.vm.Tags, inventory.OwnerTag) {
		set["tags"] = strings.Join(append(slices.Clone(found.vm.Tags), inventory.OwnerTag), ";")
	}
	was, _ := inventory.ParseRecord(found.next["description"])
	if sameVM(was.Record, record) {
		record.Unknown = was.Record.Unknown
	} else {
		was.Flags = nil // of another worker's record
	}
	if was.Record != record {
		set["description"] = note(record, strings.TrimSpace(was.Rest), was.Flags...)
	}
	return set
}

// Unprotect implements apply.Remover. The write is made in any case: it is the
// compare-and-swap that proves the VM's identity before its end.
func (b *Backend) Unprotect(ctx context.Context, ref inventory.VMRef) error {
	written := false
	err := b.swapOurs(ctx, ref, func(found seen) pve.ConfigUpdate {
		if written && !found.vm.Machine.Protection {
			return pve.ConfigUpdate{}
		}
		written = true
		return pve.ConfigUpdate{Set: options{"protection": "0"}}
	})
	if pve.KindOf(err) == pve.NotFound {
		return nil
	}
	return b.wrap(err, "allow the end of the VM", place(ref))
}

// Destroy implements apply.Remover.
func (b *Backend) Destroy(ctx context.Context, ref inventory.VMRef) error {
	return b.wrap(b.destroy(ctx, ref), "destroy the VM", place(ref))
}

func (b *Backend) destroy(ctx context.Context, ref inventory.VMRef) error {
	found, err := b.prove(ctx, ref)
	if pve.KindOf(err) == pve.NotFound {
		return b.reallyGone(ctx, ref)
	}
	if err != nil {
		return err
	}
	if found.vm.Machine.Protection {
		return &fault.Error{
			Kind: fault.Conflict, Doing: "destroy the VM", Where: place(ref),
			Why: "somebody turned its protection on again", Fix: "find out who and why before you repeat the command",
		}
	}
	// Destroying takes no digest: the number is all that it takes. So this comes
	// at once after the proof.
	task, err := b.client.Destroy(ctx, ref.Host, ref.VMID, pve.DestroyOptions{Purge: true})
	if err == nil {
		_, err = task.Wait(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, lookErr := b.client.Pending(ctx, ref.Host, ref.VMID); pve.KindOf(lookErr) == pve.NotFound {
		return nil
	}
	return err
}

// reallyGone makes sure that a VM which is not on its host was not moved.
func (b *Backend) reallyGone(ctx context.Context, ref inventory.VMRef) error {
	resources, err := b.client.Resources(ctx, "vm")
	if err != nil {
		return err
	}
	for _, r := range resources {
		if r.VMID == ref.VMID && r.Node != ref.Host {
			return &fault.Error{
				Kind: fault.Conflict, Doing: "destroy the VM", Where: place(ref),
				Why: fmt.Sprintf("VM %d is on host %s now", ref.VMID, r.Node), Fix: "run the same command again",
			}
		}
	}
	return nil
}
