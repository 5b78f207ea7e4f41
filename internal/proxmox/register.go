package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

var _ hypervisor.Registrar = (*Backend)(nil)

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
	devices, err := b.devices(ctx, card.Host)
	if err != nil {
		return nil, b.wrap(err, "read the PCI devices", atCard(card))
	}
	register := &hypervisor.Register{Name: mapping.ID, Entry: strings.Join(mapping.Map, ";")}
	at := slices.IndexFunc(devices, func(d pci.Device) bool { return d.Slot == card.Slot })
	if at < 0 {
		register.Stale = staleness(mapping, card.Host, nil)
	} else {
		register.Stale = staleness(mapping, card.Host, &devices[at])
	}
	if note, taken := parseRecord(mapping.Description); taken {
		register.Worker = note.Record.Worker
	}
	return register, nil
}

// MakeRegister implements hypervisor.Registrar. It keeps the description.
func (b *Backend) MakeRegister(ctx context.Context, card pci.CardRef) (*hypervisor.Register, error) {
	device, err := b.device(ctx, card)
	if err != nil {
		return nil, b.wrap(err, "make the mapping", atCard(card))
	}
	name, entries := registerName(card), []string{registerEntry(card.Host, device)}
	mapping, err := b.client.Mapping(ctx, name)
	switch {
	case pve.KindOf(err) == pve.NotFound:
		err = b.client.CreateMapping(ctx, pve.MappingSpec{ID: name, Map: entries})
	case err == nil && !slices.Equal(mapping.Map, entries):
		err = b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Description: mapping.Description, Map: entries})
	}
	if err != nil {
		return nil, b.wrap(err, "make the mapping", atCard(card))
	}
	return b.Register(ctx, card)
}

// RemoveRegister implements hypervisor.Registrar. Which VMs have the mapping was read at
// most a minute ago. The removal of a mapping is not compared with what was read. If an engine claims the card at this very moment, its
// claim is lost: then it attaches nothing, because that needs the claim.
func (b *Backend) RemoveRegister(ctx context.Context, card pci.CardRef) error {
	const doing = "remove the mapping"
	register, err := b.Register(ctx, card)
	if err != nil || register == nil {
		return err
	}
	if register.Worker != "" {
		return &fault.Error{
			Kind: fault.Exists, Doing: doing, Where: atCard(card), Why: fmt.Sprintf("worker %s has claimed the card with it", register.Worker),
			Fix: "delete the worker first",
		}
	}
	vms, err := b.residents(ctx, card.Host)
	if err != nil {
		return b.wrap(err, doing, atCard(card))
	}
	for id, vm := range vms {
		for key, option := range vm.cards {
			if property(option.Value, "mapping", "") == register.Name || property(option.Pending, "mapping", "") == register.Name {
				return &fault.Error{
					Kind: fault.Exists, Doing: doing, Where: atCard(card), Why: fmt.Sprintf("VM %d %q has it in %s", id, vm.name, key),
					Fix: fmt.Sprintf("take the card out of the VM first: qm set %d --delete %s   (on %s)", id, key, card.Host),
				}
			}
		}
	}
	err = b.client.DeleteMapping(ctx, register.Name)
	if pve.KindOf(err) == pve.NotFound {
		return nil
	}
	return b.wrap(err, doing, atCard(card))
}
