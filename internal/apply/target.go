package apply

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Target changes one hypervisor. It is made of the small interfaces below, one
// for each kind of thing that is changed.
//
// Every method is safe to repeat: when the work is found done, it returns nil
// and changes nothing. Every method that touches a VM proves first, by a fresh
// read, that it is the VM of the VMRef, and writes by compare-and-swap; when
// the proof fails it returns a fault.Conflict and has changed nothing. Waiting
// ends with the context; the error then says what still runs.
type Target interface {
	Claimer
	Builder
	Power
	Remover
}

// Claimer reserves cards.
type Claimer interface {
	// Claim reserves the card record.Host/record.Card for record.Worker and
	// writes record into the register, in place of was: the claim of the same
	// worker that the caller has seen there, zero for none. Another worker's
	// claim is a fault.Exists that names it; a claim of the same worker that the
	// caller has not seen is another engine's, and a fault.Conflict. Nothing is
	// changed then.
	Claim(ctx context.Context, record, was inventory.Record) error
	// Release gives the card host/slot back, and removes the register if we made
	// it. Only the claim held is given back: another one, be it of the same
	// worker for another VM, or none, is nothing to do.
	Release(ctx context.Context, held inventory.Record, host string, slot pci.Slot) error
}

// Builder makes and changes VMs.
type Builder interface {
	// FreeVMID proposes a number of our range that nobody uses and that is not
	// in taken.
	FreeVMID(ctx context.Context, taken map[int]bool) (int, error)
	// Clone makes a VM with record.VMID, named and noted as record says, and
	// waits for it. A VM of that number that is not ours is a fault.Exists.
	Clone(ctx context.Context, order CloneOrder) error
	// Configure marks the VM as ours and brings its configuration, except the
	// card, to what is desired. It takes VMs that are Ours or Fresh.
	Configure(ctx context.Context, record inventory.Record, desired inventory.Machine) error
	// Attach puts the card into the VM, after proving that the claim is ours
	// and that no other VM has the card.
	Attach(ctx context.Context, record inventory.Record, card inventory.Card) error
}

// CloneOrder says what to clone and what the new VM is to be.
type CloneOrder struct {
	Record       inventory.Record
	TemplateHost string
	TemplateVMID int
	Full         bool
	Storage      string
	ResourcePool string
}

// Power starts and stops VMs.
type Power interface {
	// Start starts the VM, after proving that no other VM has its card.
	Start(ctx context.Context, ref inventory.VMRef) error
	// Stop asks the guest to shut down and, when it does not, pulls the plug.
	Stop(ctx context.Context, ref inventory.VMRef) error
	// SetParked puts the parked tag on or takes it off.
	SetParked(ctx context.Context, ref inventory.VMRef, parked bool) error
	// AwaitAgent waits until the guest agent answers and returns the guest's
	// addresses. It gives up after a while with a fault.Unavailable.
	AwaitAgent(ctx context.Context, ref inventory.VMRef) ([]string, error)
}

// Remover takes over and takes away.
type Remover interface {
	// Adopt writes record and owner tag into an existing VM that a person named.
	// ref is that VM as it was when they did.
	Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record) error
	// Unprotect proves the VM's identity by a write and allows its end.
	Unprotect(ctx context.Context, ref inventory.VMRef) error
	// Destroy destroys the stopped VM and its disks. A VM that is gone is
	// nothing to do; another VM under its number is a fault.Conflict.
	Destroy(ctx context.Context, ref inventory.VMRef) error
}
