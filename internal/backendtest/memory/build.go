package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/hypervisor/vmclaim"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// FreeID implements hypervisor.Builder.
func (b *Backend) FreeID(context.Context, map[string]bool) (string, error) {
	return "", &fault.Error{
		Kind: fault.Unsupported, Doing: "find a free identifier", Where: fault.Place{Hypervisor: b.name},
		Why: "the hypervisor chooses the identifiers of new VMs", Fix: "leave the identifier of a new VM empty",
	}
}

// Clone implements hypervisor.Builder. Names are unique, so a second request for the
// same worker makes nothing.
func (b *Backend) Clone(ctx context.Context, order hypervisor.CloneOrder, handle hypervisor.Handle) (string, *hypervisor.Wait, error) {
	id, wait, err := b.clone(ctx, order, recall(handle))
	return id, wait, b.wrap(err, "clone the template", inventory.VMRef{Name: order.Record.Worker})
}

func (b *Backend) clone(ctx context.Context, order hypervisor.CloneOrder, m memo) (string, *hypervisor.Wait, error) {
	record := order.Record
	if wait, err := b.follow(ctx, m, "the clone of "+order.Template.Name); wait != nil || err != nil {
		return "", wait, err
	}
	all, err := b.readAll(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, found := range all {
		switch {
		case found.name != record.Worker:
		case found.record.Record.UUID != record.UUID || found.uuid != record.UUID:
			return "", nil, fmt.Errorf("%w: %s, of another worker or another VM of this one", errTaken, found.id)
		case found.doing == "clone":
			return found.id, memo{Task: found.task}.wait("the clone of "+order.Template.Name, taskEvery), nil
		default:
			return found.id, nil, nil
		}
	}
	return b.sendClone(ctx, order)
}

func (b *Backend) sendClone(ctx context.Context, order hypervisor.CloneOrder) (string, *hypervisor.Wait, error) {
	record := order.Record
	as := vm{name: record.Worker, uuid: record.UUID, note: noteOf(inventory.Note{}, record), tags: []string{inventory.OwnerTag}}
	made, err := request(ctx, b, true, func(c *Cluster) (ids [2]string, err error) {
		ids[0], ids[1], err = c.clone(order.Template.ID, as)
		if err == nil && order.Full && order.Storage != "" {
			c.vms[ids[0]].next.Storage = order.Storage
		}
		return ids, err
	})
	switch {
	case errors.Is(err, errLost):
		return "", b.second(), nil
	case err != nil:
		return "", nil, err
	}
	return made[0], memo{Task: made[1]}.wait("the clone of "+order.Template.Name, taskEvery), nil
}

// follow polls the task of a memo: it returns a Wait while the task runs, an error
// when it has failed, and neither when it is done or not known.
func (b *Backend) follow(ctx context.Context, m memo, what string) (*hypervisor.Wait, error) {
	if m.Task == "" {
		return nil, nil
	}
	return request(ctx, b, false, func(c *Cluster) (*hypervisor.Wait, error) {
		t := c.tasks[m.Task]
		switch {
		case t == nil:
			return nil, nil
		case !t.ended:
			wait := m.wait(what, taskEvery)
			wait.Progress = t.far()
			return wait, nil
		case t.fails != "":
			return nil, fmt.Errorf("%w: %s", errFailed, t.fails)
		}
		return nil, nil
	})
}

// noteOf is a VM's note with a new record. Creation time, unknown keys and other text
// stay. Records have no identifiers here.
func noteOf(was inventory.Note, record inventory.Record, flag ...func([]string) []string) string {
	flags := vmclaim.Kept(was.Flags, was.Record, record)
	if was.Record.UUID == record.UUID && was.Record.Worker == record.Worker {
		record.Unknown = was.Record.Unknown
		if was.Record.By != "" {
			record.By = was.Record.By
		}
	} else {
		flags = nil // of another worker's record
	}
	for _, change := range flag {
		flags = change(flags)
	}
	return line(was, record, flags)
}

func line(was inventory.Note, record inventory.Record, flags []string) string {
	record.VM = ""
	if was.Rest == "" {
		return record.Line(flags...)
	}
	return was.Rest + "\n" + record.Line(flags...)
}

// Configure implements hypervisor.Builder.
func (b *Backend) Configure(ctx context.Context, ref inventory.VMRef, record inventory.Record, desired inventory.Machine, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.configure(ctx, ref, record, desired)
	return wait, b.wrap(err, "configure the VM", ref)
}

func (b *Backend) configure(ctx context.Context, ref inventory.VMRef, record inventory.Record, desired inventory.Machine) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	next, note := merged(found.next, desired), noteOf(found.record, record)
	if note == found.note && reflect.DeepEqual(next, found.next) {
		return nil, nil
	}
	return b.write(ctx, found, func(v *vm) { v.applied, v.next, v.note = liveOf(v.applied, next), next, note })
}

// merged is the configuration as declared. Fields without a declaration and the card
// stay as they are.
func merged(have, desired inventory.Machine) inventory.Machine {
	next := desired
	next.Card = have.Card
	if desired.Firmware == "" {
		next.Firmware = have.Firmware
	}
	next.NICs = mergedNICs(have.NICs, desired.NICs)
	if desired.Storage == "" {
		next.Storage = have.Storage
	}
	if desired.Guest.User == "" {
		next.Guest.User = have.Guest.User
	}
	if len(desired.Guest.DNS) == 0 {
		next.Guest.DNS = have.Guest.DNS
	}
	if len(desired.Guest.Search) == 0 {
		next.Guest.Search = have.Guest.Search
	}
	next.DiskMiB = max(have.DiskMiB, desired.DiskMiB) // it never shrinks
	next.Agent = have.Agent || desired.Agent
	return next
}

// mergedNICs are the declared network cards, which keep their MACs unless others are
// declared, and the undeclared ones.
func mergedNICs(have, desired []inventory.NIC) []inventory.NIC {
	nics := slices.Clone(have)
	for i, nic := range desired {
		if i == len(nics) {
			nics = append(nics, inventory.NIC{MAC: fmt.Sprintf("02:00:00:00:00:%02x", i)})
		}
		nic.MAC = cmp.Or(nic.MAC, nics[i].MAC)
		nics[i] = nic
	}
	return nics
}

// liveOf is the running configuration of a VM after a change: hardware stays as it is
// until the VM is stopped.
func liveOf(applied, next inventory.Machine) inventory.Machine {
	live := next
	live.Cores, live.MemoryMiB, live.CPU, live.Type, live.Firmware = applied.Cores, applied.MemoryMiB, applied.CPU, applied.Type, applied.Firmware
	live.Card = applied.Card
	return live
}

// Adopt implements hypervisor.Marker.
func (b *Backend) Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.adopt(ctx, ref, record)
	return wait, b.wrap(err, "adopt the VM", ref)
}

func (b *Backend) adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record) (*hypervisor.Wait, error) {
	found, err := b.read(ctx, ref.ID)
	if err != nil {
		return nil, err
	}
	vm := found.observed()
	ownership, _ := vm.Ownership()
	done := ownership == inventory.Ours && vm.Record.UUID == record.UUID && vm.Record.Worker == record.Worker
	switch {
	case !done && (found.name != ref.Name || found.uuid != ref.UUID):
		return nil, b.notOurs(ref, found.name, "its name or UUID changed since it was named")
	case found.record.Problem != "":
		return nil, b.notOurs(ref, found.name, found.record.Problem)
	case ownership == inventory.Ours && !done || vm.Template || vm.State != inventory.Free:
		return nil, b.notOurs(ref, found.name, "it is a template, locked, or another worker")
	}
	return b.mark(ctx, found, record, found.tags)
}

// SetRecord implements hypervisor.Marker.
func (b *Backend) SetRecord(ctx context.Context, ref inventory.VMRef, record inventory.Record, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, b.wrap(err, "write the VM's record", ref)
	}
	wait, err := b.mark(ctx, found, record, found.tags)
	return wait, b.wrap(err, "write the VM's record", ref)
}

// SetParked implements hypervisor.Marker.
func (b *Backend) SetParked(ctx context.Context, ref inventory.VMRef, parked bool, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, b.wrap(err, "set the parked tag", ref)
	}
	tags := slices.DeleteFunc(slices.Clone(found.tags), func(tag string) bool { return tag == inventory.ParkedTag })
	if parked {
		tags = append(tags, inventory.ParkedTag)
	}
	wait, err := b.mark(ctx, found, found.record.Record, tags)
	return wait, b.wrap(err, "set the parked tag", ref)
}

// mark writes the marks by which a VM is ours, if they are missing.
func (b *Backend) mark(ctx context.Context, found seen, record inventory.Record, tags []string) (*hypervisor.Wait, error) {
	note := noteOf(found.record, record)
	if !slices.Contains(tags, inventory.OwnerTag) {
		tags = append(slices.Clone(tags), inventory.OwnerTag)
	}
	if found.name == record.Worker && found.uuid == record.UUID && found.note == note && slices.Equal(found.tags, tags) {
		return nil, nil
	}
	return b.write(ctx, found, func(v *vm) { v.name, v.uuid, v.note, v.tags = record.Worker, record.UUID, note, tags })
}
