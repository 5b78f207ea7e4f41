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
	Stale  string // how that differs from the hardware; "" when it does not, or when Unseen says why it is not known
	Unseen string // why the hardware could not be looked at; "" when it could
	Worker string // the worker that has claimed the card; "" for none
	// Problem says why the record in it is unusable; "" when it is not. The card then
	// counts as claimed, and the register is not changed.
	Problem string
}

// Registrar is a backend whose registers a person may make ahead, so that workers need
// fewer privileges. A claim uses such a register, and its release keeps it. Backends whose
// claims are in VMs have no registers.
type Registrar interface {
	// Register returns the register of a card; nil when there is none.
	Register(ctx context.Context, card pci.CardRef) (*Register, error)
	// MayMakeRegister returns a fault.Exists when a person has made another entry for the
	// card under a name of their own, and the card has no register yet. Whether the card
	// exists and is a GPU is not looked at.
	MayMakeRegister(ctx context.Context, card pci.CardRef) error
	// MakeRegister makes the register of a card, or corrects its entry. It sends at most
	// one write; when another write came first and the register is not as wanted, that is
	// a fault.Conflict. From then on, the release of a claim keeps the register, even if
	// the claim had made it. A missing card is a fault.NotFound, a device that is no GPU
	// a fault.Refused, and what MayMakeRegister returns is returned here too.
	MakeRegister(ctx context.Context, card pci.CardRef) (*Register, error)
	// RemoveRegister removes the register of a card; when there is none, the work is
	// done. A register with a claim, or that a VM uses, is a fault.Exists.
	RemoveRegister(ctx context.Context, card pci.CardRef) error
}
