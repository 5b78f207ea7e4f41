package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/pve"
)

// FreeVMID implements apply.Builder.
func (b *Backend) FreeVMID(ctx context.Context, taken map[int]bool) (int, error) {
	resources, err := b.client.Resources(ctx, "vm")
	if err != nil {
		return 0, b.wrap(err, "find a free VM number", fault.Place{})
	}
	used := map[int]bool{}
	for _, r := range resources {
		used[r.VMID] = true
	}
	for vmid := b.spec.VMIDs.First; vmid <= b.spec.VMIDs.Last; vmid++ {
		if !used[vmid] && !taken[vmid] {
			return vmid, nil
		}
	}
	return 0, &fault.Error{
		Kind: fault.Refused, Doing: "find a free VM number", Where: fault.Place{Hypervisor: b.name},
		Why: fmt.Sprintf("all numbers from %d to %d are in use", b.spec.VMIDs.First, b.spec.VMIDs.Last),
		Fix: "widen spec.proxmox.vmids of the Hypervisor",
	}
}

// Clone implements apply.Builder.
func (b *Backend) Clone(ctx context.Context, order apply.CloneOrder) error {
	r := order.Record
	return b.wrap(b.clone(ctx, order), "clone the template", fault.Place{Host: r.Host, VMID: r.VMID, Worker: r.Worker})
}

// clonePatience is how long a host with a clone under way may be silent: a
// reboot of a large server takes ten minutes. cloneLook is how often it is asked.
const (
	clonePatience = 15 * time.Minute
	cloneLook     = 3 * time.Second
)

// clone asks for the clone, whose number Proxmox gives out once, and when that
// fails it decides by what is there: while a clone runs, the new VM is nameless
// and locked (PVE::API2::Qemu, clone_vm), afterwards its note says whose it is.
func (b *Backend) clone(ctx context.Context, order apply.CloneOrder) error {
	err := b.sendClone(ctx, order)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case ambiguous(err):
		return b.awaitClone(ctx, order)
	}
	state, lookErr := b.cloneState(ctx, order.Record)
	switch {
	case fault.Is(lookErr, fault.Exists):
		return lookErr // it says who has the number
	case lookErr == nil && state == cloneDone:
		return nil
	case lookErr == nil && state == cloneRunning:
		return b.numberTaken(order.Record.VMID, "another clone is being made under it")
	}
	return err
}

// awaitClone waits for a clone that was asked for, also while its host does not
// answer: giving up would look like a failure, and a second try would make a
// second VM beside the one that nobody sees. A clone whose task died keeps its
// lock for ever: two looks in a row that find no task tell.
func (b *Backend) awaitClone(ctx context.Context, order apply.CloneOrder) error {
	record := order.Record
	for heard, dead := time.Now(), 0; ; {
		state, err := b.cloneState(ctx, record)
		switch {
		case err == nil && state == cloneDone:
			return nil
		case err == nil && state == cloneAbsent: // it was carried out, or so it seemed
			return &fault.Error{Kind: fault.Failed, Doing: "clone the template", Where: place(refOf(record)),
				Why: "the clone left no VM behind", Fix: "run the same command again"}
		case err == nil:
			heard = time.Now()
			if dead++; b.cloneTaskRuns(ctx, order.TemplateHost) {
				dead = 0
			}
			if dead == 2 {
				return deadClone(record)
			}
		case pve.KindOf(err) != pve.Unavailable:
			return err
		case time.Since(heard) > clonePatience:
			return lostClone(err)
		}
		if err := pause(ctx, cloneLook); err != nil {
			return err
		}
	}
}

// cloneTaskRuns reports whether a host works on a clone, of whatever: a clone's
// task runs where the template is. When that cannot be seen, it is taken for so.
func (b *Backend) cloneTaskRuns(ctx context.Context, host string) bool {
	tasks, err := b.client.Tasks(ctx, host, pve.TaskFilter{Source: "active", Type: "qmclone"})
	return err != nil || slices.ContainsFunc(tasks, pve.TaskInfo.Running)
}

func deadClone(record inventory.Record) error {
	return &fault.Error{
		Kind: fault.Stuck, Doing: "clone the template", Where: place(refOf(record)),
		Why: "the VM is locked by a clone that no task works on any more",
		Fix: shell.Command("as root on %s, look at it with `qm config %d`, and when it is only the rest of a clone: qm unlock %d && qm destroy %d; then run the same command again",
			record.Host, record.VMID, record.VMID, record.VMID),
	}
}

func lostClone(cause error) error {
	return &fault.Error{
		Kind: fault.Failed, Doing: "clone the template", Cause: cause,
		Why: "the host has not answered for " + clonePatience.String() + ", and nobody knows how far the clone is",
		Fix: "when the host answers again, run the same command again: it waits for the clone",
	}
}

type cloneProgress int

const (
	cloneAbsent cloneProgress = iota
	cloneRunning
	cloneDone
)

func (b *Backend) cloneState(ctx context.Context, record inventory.Record) (cloneProgress, error) {
	found, err := b.read(ctx, record.Host, record.VMID, nil)
	switch {
	case pve.KindOf(err) == pve.NotFound:
		return cloneAbsent, nil
	case err != nil:
		return 0, err
	case found.vm.Lock == "clone":
		return cloneRunning, nil
	case found.vm.Record != nil && found.vm.Record.UUID == record.UUID && found.vm.Name == record.Worker:
		return cloneDone, nil
	}
	return 0, b.numberTaken(record.VMID, fmt.Sprintf("VM %q has it", found.vm.Name))
}

func (b *Backend) numberTaken(vmid int, why string) error {
	return &fault.Error{Kind: fault.Exists, Where: fault.Place{VMID: vmid}, Why: "the VM number is taken: " + why}
}

func (b *Backend) sendClone(ctx context.Context, order apply.CloneOrder) error {
	r := order.Record
	options := pve.CloneOptions{
		NewID: r.VMID, Name: r.Worker, Description: note(r, ""), Full: order.Full, Pool: order.ResourcePool,
	}
	if order.Full {
		options.Storage = order.Storage
	}
	if order.TemplateHost != r.Host {
		options.Target = r.Host
	}
	task, err := b.client.Clone(ctx, order.TemplateHost, order.TemplateVMID, options)
	if err == nil {
		_, err = task.Wait(ctx)
	}
	if pve.KindOf(err) == pve.Locked && strings.Contains(err.Error(), fmt.Sprintf("lock-%d.conf", r.VMID)) {
		return b.numberTaken(r.VMID, "another clone took it at the same moment")
	}
	return err
}

// note is the text of a VM's note: a sentence for people, what they wrote
// themselves, and our record with its flags.
func note(record inventory.Record, rest string, flags ...string) string {
	if rest == "" {
		rest = fmt.Sprintf("Worker %s of pool %s, made and kept by gpuworker. The next line is its identity: leave it as it is.", record.Worker, record.Pool)
	}
	return rest + "\n" + record.Line(flags...)
}

// Configure implements apply.Builder.
func (b *Backend) Configure(ctx context.Context, record inventory.Record, desired inventory.Machine) error {
	ref := refOf(record)
	if err := b.mark(ctx, record); err != nil {
		return b.wrap(err, "mark the VM as ours", place(ref))
	}
	err := b.swapOurs(ctx, ref, func(found seen) pve.ConfigUpdate {
		set, remove := found.next.update(desired)
		return pve.ConfigUpdate{Set: set, Delete: remove}
	})
	if err != nil {
		return b.wrap(err, "configure the VM", place(ref))
	}
	return b.wrap(b.grow(ctx, ref, desired.DiskMiB), "grow the disk", place(ref))
}

func refOf(record inventory.Record) inventory.VMRef {
	return inventory.VMRef{Host: record.Host, VMID: record.VMID, Name: record.Worker, UUID: record.UUID}
}

// mark writes tag, UUID and note into a fresh clone of ours, by one write, and
// brings the note of a VM that is ours already up to date.
func (b *Backend) mark(ctx context.Context, record inventory.Record) error {
	ref := refOf(record)
	look := func(ctx context.Context) (seen, error) {
		found, err := b.read(ctx, record.Host, record.VMID, nil)
		if err != nil {
			return seen{}, err
		}
		ownership, why := found.vm.Ownership()
		fits := found.vm.Record != nil && found.vm.Record.UUID == record.UUID && sameWorker(*found.vm.Record, record)
		if fits && (ownership == inventory.Ours || ownership == inventory.Fresh) {
			return found, nil
		}
		switch {
		case ownership == inventory.Foreign:
			why = noMark
		case why == "":
			why = "its note is that of another worker, or of another VM of it"
		}
		return seen{}, b.notOurs(ref, found.vm, why)
	}
	return b.swap(ctx, record.Host, record.VMID, look, func(found seen) pve.ConfigUpdate {
		return pve.ConfigUpdate{Set: marks(found, record)}
	})
}

// marks are the options that make a VM provably ours. A fresh clone loses the
// tags of its template.
func marks(found seen, record inventory.Record) options {
	set := options{}
	ownership, _ := found.vm.Ownership()
	if ownership != inventory.Ours {
		set["tags"] = inventory.OwnerTag
		set["smbios1"] = withProperty(found.next["smbios1"], "uuid", record.UUID)
	}
	was, _ := inventory.ParseRecord(found.next["description"])
	now := record
	now.By = was.Record.By // who made it, not who looked last
	now.Unknown = was.Record.Unknown
	if now != was.Record {
		set["description"] = note(now, was.Rest, was.Flags...)
	}
	return set
}

// grow enlarges the first disk; it never shrinks. Like every change it is bound
// to the configuration that was proven, and starts over when that changed.
func (b *Backend) grow(ctx context.Context, ref inventory.VMRef, wantMiB int) error {
	if wantMiB == 0 {
		return nil
	}
	const tries = 6
	var last error
	for try := range tries {
		found, err := b.prove(ctx, ref)
		if err != nil {
			return err
		}
		key, _ := found.next.bootDisk()
		if key == "" || found.vm.Machine.DiskMiB >= wantMiB {
			return nil
		}
		task, err := b.client.Resize(ctx, ref.Host, ref.VMID, key, fmt.Sprintf("%dM", wantMiB), found.config.Digest)
		if err == nil {
			_, err = task.Wait(ctx)
		}
		if last = err; pve.KindOf(err) != pve.Changed {
			return err
		}
		if err := pause(ctx, time.Duration(try+1)*500*time.Millisecond); err != nil {
			return err
		}
	}
	return last
}

// Attach implements apply.Builder.
func (b *Backend) Attach(ctx context.Context, record inventory.Record, card inventory.Card) error {
	ref := refOf(record)
	where := place(ref)
	where.Card = card.Slot.String()
	var known mappings
	look := func(ctx context.Context) (found seen, err error) {
		found, known, err = b.proveFree(ctx, record, card.Slot)
		return found, err
	}
	err := b.swap(ctx, ref.Host, ref.VMID, look, func(found seen) pve.ConfigUpdate {
		has := cardOf(found.next, ref.Host, known)
		if has != nil && *has == card {
			return pve.ConfigUpdate{}
		}
		value := cardValue(found.next[cardOption], registerName(ref.Host, card.Slot), b.raw(), card)
		return pve.ConfigUpdate{Set: options{cardOption: value}}
	})
	return b.wrap(err, "attach the card", where)
}

// proveFree proves that a card is claimed for a VM and that no other VM has it,
// and then that the VM is the one that is meant.
func (b *Backend) proveFree(ctx context.Context, record inventory.Record, slot pci.Slot) (seen, mappings, error) {
	for range guardTries {
		free, err := b.guard(ctx, record, func(mappings) ([]pci.Slot, error) { return []pci.Slot{slot}, nil })
		if err != nil {
			return seen{}, nil, err
		}
		found, err := b.prove(ctx, refOf(record))
		if err != nil || free.good() {
			return found, free.known, err
		}
	}
	return seen{}, nil, b.tooSlow(record.Host)
}
