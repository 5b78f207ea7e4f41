package proxmox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

var _ hypervisor.Registrar = (*Backend)(nil)

// What is being done, in errors.
const (
	makingRegister   = "make the mapping"
	removingRegister = "remove the mapping"
)

// Register implements hypervisor.Registrar.
func (b *Backend) Register(ctx context.Context, card pci.CardRef) (*hypervisor.Register, error) {
	mapping, err := b.client.Mapping(ctx, registerName(card))
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, b.wrap(err, "read the mapping", atCard(card))
	}
	return b.registerOf(ctx, card, mapping)
}

func atCard(card pci.CardRef) fault.Place { return fault.Place{Host: card.Host, Card: card.BDF()} }

// registerOf compares a mapping with the hardware.
func (b *Backend) registerOf(ctx context.Context, card pci.CardRef, mapping pve.Mapping) (*hypervisor.Register, error) {
	register := &hypervisor.Register{Name: mapping.ID, Entry: strings.Join(mapping.Map, ";")}
	if note, taken := parseRecord(mapping.Description); taken {
		register.Worker, register.Problem = note.Record.Worker, note.Problem
	}
	devices, err := b.devices(ctx, card.Host)
	if err = b.wrap(err, "read the PCI devices", atCard(card)); fault.Is(err, fault.Unavailable) {
		register.Unseen = err.Error()
		return register, nil
	}
	if err != nil {
		return nil, err
	}
	var device *pci.Device
	if at := slices.IndexFunc(devices, func(d pci.Device) bool { return d.Slot == card.Slot }); at >= 0 {
		device = &devices[at]
	}
	register.Stale = staleness(mapping, card.Host, device)
	return register, nil
}

// MayMakeRegister implements hypervisor.Registrar.
func (b *Backend) MayMakeRegister(ctx context.Context, card pci.CardRef) error {
	known, err := b.mappingsNow(ctx)
	if err != nil {
		return b.wrap(err, "read the mappings", atCard(card))
	}
	return b.mayMakeRegister(known, card)
}

func (b *Backend) mayMakeRegister(known mappings, card pci.CardRef) error {
	if _, there := known[registerName(card)]; there {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if slices.Contains(known.cards(name, card.Host), card) {
			return &fault.Error{
				Kind: fault.Exists, Doing: makingRegister, Where: b.here(card), Why: fmt.Sprintf("mapping %s has this card already, and a card should have one mapping", name),
				Fix: fmt.Sprintf("if no VM uses %s for this card, take the card out of it (web interface: Datacenter, Resource Mappings); or make no mapping ahead: "+
					"the claim of a worker makes its own", name),
			}
		}
	}
	return nil
}

// here is the place of a card.
func (b *Backend) here(card pci.CardRef) fault.Place {
	where := atCard(card)
	where.Hypervisor = b.name
	return where
}

// MakeRegister implements hypervisor.Registrar.
func (b *Backend) MakeRegister(ctx context.Context, card pci.CardRef) (*hypervisor.Register, error) {
	register, err := b.makeRegister(ctx, card)
	return register, b.wrap(err, makingRegister, atCard(card))
}

func (b *Backend) makeRegister(ctx context.Context, card pci.CardRef) (*hypervisor.Register, error) {
	device, err := b.device(ctx, card)
	if err != nil {
		return nil, err
	}
	if _, is := device.GPU(); !is {
		return nil, &fault.Error{
			Kind: fault.Refused, Doing: makingRegister, Where: b.here(card), Why: "this is not an NVIDIA GPU: " + device.Functions[0].ShortName(),
			Fix: "gpuworker gpus lists the cards",
		}
	}
	unlock, err := lock(ctx, b.claimLock)
	switch {
	case err != nil:
		return nil, err
	case unlock == nil:
		return nil, &fault.Error{
			Kind: fault.Busy, Doing: makingRegister, Where: b.here(card), Why: "this program writes other mappings", Fix: "run the same command again",
		}
	}
	defer unlock()
	known, err := b.mappings(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.mayMakeRegister(known, card); err != nil {
		return nil, err
	}
	return b.writeRegister(ctx, card, known, []string{registerEntry(card.Host, device)})
}

// writeRegister makes or corrects a mapping with one write. After a write that came
// second, or that perhaps arrived, it reads the mapping again.
func (b *Backend) writeRegister(ctx context.Context, card pci.CardRef, known mappings, entries []string) (*hypervisor.Register, error) {
	name := registerName(card)
	mapping, there := known[name]
	if there && isRegister(mapping, entries) {
		return b.registerOf(ctx, card, mapping)
	}
	var err error
	note, taken := parseRecord(mapping.Description)
	switch {
	case !there:
		err = b.client.CreateMapping(ctx, pve.MappingSpec{ID: name, Map: entries})
	case note.Problem != "":
		return nil, b.unreadableRecord(makingRegister, name, note.Problem)
	default:
		err = b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Description: keptText(mapping, note, taken), Map: entries})
	}
	if err != nil && !undecided(err) {
		return nil, err
	}
	mapping, readErr := b.client.Mapping(ctx, name)
	switch {
	case readErr != nil && err != nil:
		return nil, err
	case readErr != nil:
		return nil, readErr
	case !isRegister(mapping, entries):
		return nil, &fault.Error{
			Kind: fault.Conflict, Doing: makingRegister, Where: b.here(card), Why: fmt.Sprintf("another user or program changed mapping %s at the same time", name),
			Fix: "run the same command again", Cause: err,
		}
	}
	return b.registerOf(ctx, card, mapping)
}

// isRegister reports whether a mapping has these entries, and stays when the claim on the
// card is released.
func isRegister(mapping pve.Mapping, entries []string) bool {
	note, taken := parseRecord(mapping.Description)
	removed := taken && note.Problem == "" && note.Has(wordMade)
	return slices.Equal(mapping.Map, entries) && !removed
}

// keptText is the description of a mapping, without the word that makes a release remove
// the mapping.
func keptText(mapping pve.Mapping, note inventory.Note, taken bool) string {
	if !taken || !note.Has(wordMade) {
		return mapping.Description
	}
	return joinText(note.Rest, note.Record.Line(slices.DeleteFunc(note.Flags, func(flag string) bool { return flag == wordMade })...))
}

// RemoveRegister implements hypervisor.Registrar. Which VMs have the mapping was read at
// most a minute ago. The removal of a mapping is not compared with what was read. If an
// engine claims the card at this very moment, its claim is lost: then it attaches nothing,
// because that needs the claim.
func (b *Backend) RemoveRegister(ctx context.Context, card pci.CardRef) error {
	register, err := b.Register(ctx, card)
	switch {
	case err != nil || register == nil:
		return err
	case register.Problem != "":
		return b.unreadableRecord(removingRegister, register.Name, register.Problem)
	case register.Worker != "":
		return &fault.Error{
			Kind: fault.Exists, Doing: removingRegister, Where: b.here(card), Why: fmt.Sprintf("worker %s has claimed the card with it", register.Worker),
			Fix: "delete the worker first",
		}
	}
	if err := b.refuseUsers(ctx, card, register.Name); err != nil {
		return b.wrap(err, removingRegister, atCard(card))
	}
	err = b.client.DeleteMapping(ctx, register.Name)
	if pve.KindOf(err) == pve.NotFound {
		return nil
	}
	return b.wrap(err, removingRegister, atCard(card))
}

// refuseUsers returns an error when a VM has the mapping.
func (b *Backend) refuseUsers(ctx context.Context, card pci.CardRef, name string) error {
	vms, err := b.residents(ctx, card.Host)
	if err != nil {
		return err
	}
	for id, vm := range vms {
		for key, option := range vm.cards {
			if property(option.Value, "mapping", "") == name || property(option.Pending, "mapping", "") == name {
				return &fault.Error{
					Kind: fault.Exists, Doing: removingRegister, Where: b.here(card), Why: fmt.Sprintf("VM %d %q has it in %s", id, vm.name, key),
					Fix: fmt.Sprintf("take the card out of the VM first: qm set %d --delete %s   (on %s)", id, key, card.Host),
				}
			}
		}
	}
	return nil
}
