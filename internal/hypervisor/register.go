package hypervisor

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Register is the register of a card when it exists apart from a claim: on Proxmox VE the
// PCI resource mapping of the card.
type Register struct {
	Name   string
	Entry  string // what it says of the card, in the hypervisor's own form
	Stale  string // how that differs from the hardware; "" when it does not
	Worker string // the worker that has claimed the card; "" for none
}

// Registrar is a backend whose registers a person may make ahead, so that workers need
// fewer privileges. A claim uses such a register, and its release keeps it.
type Registrar interface {
	// Register returns the register of a card; nil when there is none.
	Register(ctx context.Context, card pci.CardRef) (*Register, error)
	// MakeRegister makes the register of a card, or corrects its entry.
	MakeRegister(ctx context.Context, card pci.CardRef) (*Register, error)
	// RemoveRegister removes the register of a card; when there is none, the work is
	// done. A register with a claim, or that a VM uses, is a fault.Exists.
	RemoveRegister(ctx context.Context, card pci.CardRef) error
}
