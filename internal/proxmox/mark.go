package proxmox

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Adopt implements hypervisor.Marker.
func (b *Backend) Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	found, err := b.proveAdoptable(ctx, ref, record)
	if err != nil {
		return nil, b.wrap(err, "adopt the VM", place(ref))
	}
	wait, err := b.write(ctx, ref, found, pve.ConfigUpdate{Set: adoption(found, record)})
	return wait, b.wrap(err, "adopt the VM", place(ref))
}

// proveAdoptable reads a VM that a person named, and proves that it is still the
// same VM, or already adopted.
func (b *Backend) proveAdoptable(ctx context.Context, ref inventory.VMRef, record inventory.Record) (observedVM, error) {
	found, err := b.read(ctx, ref.Host, number(ref.ID), nil)
	if err != nil {
		return observedVM{}, err
	}
	ownership, _ := found.vm.Ownership()
	done := ownership == inventory.Ours && sameVM(*found.vm.Record, record)
	switch {
	case !done && (found.vm.Name != ref.Name || found.vm.UUID != ref.UUID):
		return observedVM{}, b.notOurs(ref, found.vm, "its name or UUID changed since the command started")
	case found.vm.RecordProblem != "":
		return observedVM{}, b.notOurs(ref, found.vm, found.vm.RecordProblem)
	case ownership == inventory.Ours && !done || found.vm.Template || found.vm.State != inventory.Free:
		return observedVM{}, b.notOurs(ref, found.vm, "it is a template, locked, or another worker")
	}
	return found, nil
}

// SetRecord implements hypervisor.Marker.
func (b *Backend) SetRecord(ctx context.Context, ref inventory.VMRef, record inventory.Record, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.writeOurs(ctx, ref, func(found observedVM) pve.ConfigUpdate { return pve.ConfigUpdate{Set: marks(found, record)} })
	return wait, b.wrap(err, "write the VM's record", place(ref))
}

// SetParked implements hypervisor.Marker.
func (b *Backend) SetParked(ctx context.Context, ref inventory.VMRef, parked bool, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.writeOurs(ctx, ref, func(found observedVM) pve.ConfigUpdate {
		if found.vm.Parked() == parked {
			return pve.ConfigUpdate{}
		}
		tags := slices.DeleteFunc(slices.Clone(found.vm.Tags), func(tag string) bool { return tag == inventory.ParkedTag })
		if parked {
			tags = append(tags, inventory.ParkedTag)
		}
		return pve.ConfigUpdate{Set: options{"tags": strings.Join(tags, ";")}}
	})
	return wait, b.wrap(err, "set the parked tag", place(ref))
}

// adoption returns the options that make a foreign VM ours: name, tag, note, UUID.
// Its other tags and the text of its note stay.
func adoption(found observedVM, record inventory.Record) options {
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
	was, _ := parseRecord(found.next["description"])
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
