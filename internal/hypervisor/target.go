package hypervisor

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Target changes one hypervisor. It is made of the small interfaces below, one
// for each kind of thing that is changed.
//
// No method waits. Each looks, does at most one write and the reads that prove
// it, and returns: a nil Wait means that the work is done, another one that it
// goes on and when to call again, with the handle of that Wait. With the handle
// lost, as after a crash, the call is made with an empty one: what is found done
// is not done again. Losing the handle of every single Wait may mean that the work
// never ends: where two writes belong together, the second needs it.
//
// Every method that touches a VM proves first, by a fresh read, that it is the VM
// of the VMRef, and writes by compare-and-swap. When the proof fails it returns a
// fault.Conflict and has changed nothing. A write that came second to somebody
// else's, or that may or may not have arrived, is a Wait and no error: the next
// call looks again. Changes of power and the end of a VM are not compared by the
// hypervisor: they are asked for at once after the proof.
//
// A VM that is gone is a fault.NotFound; to Stop, Unprotect and Destroy it is
// nothing to do. One that somebody else has locked is a fault.Busy. A record that
// must not be believed is never written over.
//
// After a fault.Unavailable, what was under way may go on: the call is made again
// with the handle of the last Wait. After any other error nothing is under way any
// more: who tries again begins anew, with an empty handle.
type Target interface {
	Claimer
	Builder
	Marker
	Power
	Remover
}

// Claimer reserves cards.
type Claimer interface {
	// Claim reserves record.Card for record.Worker, in place
	// of was: the claim of the same worker that the caller has seen, zero for none.
	// Another worker's claim is a fault.Exists that names it; a claim of the same
	// worker that the caller has not seen is another engine's, and a
	// fault.Conflict. Nothing is claimed then. ref is the VM that the card is for:
	// one that is there where claims are written into VMs, else one that may be yet
	// to be made. A claim in another VM of the worker is never replaced: it goes with
	// that VM or by its Release, and until then it is a fault.Conflict.
	Claim(ctx context.Context, ref inventory.VMRef, record, was inventory.Record, handle Handle) (*Wait, error)
	// Release gives the card back. Only the claim held is given back:
	// another one, be it of the same worker for another VM, or none, is nothing to
	// do.
	Release(ctx context.Context, held inventory.Record, card pci.CardRef, handle Handle) (*Wait, error)
}

// Builder makes and changes VMs.
type Builder interface {
	// FreeID proposes an identifier that nobody uses and that is not in taken. Where
	// the hypervisor chooses identifiers it is a fault.Unsupported.
	FreeID(ctx context.Context, taken map[string]bool) (string, error)
	// Clone makes a VM with the identifier record.VM, named and noted as record
	// says. An identifier that somebody else has is a fault.Exists, and so is a name
	// where the hypervisor chooses identifiers: there it is the name that keeps two
	// engines from making one worker twice. A call without a handle, while the clone
	// that it asks for is under way, may be a fault.Exists too, where the hypervisor
	// shows only that some clone is made (ObserveVM: Cloning). id is that of the VM,
	// known at the latest when the work is done.
	Clone(ctx context.Context, order CloneOrder, handle Handle) (id string, wait *Wait, err error)
	// Configure marks the VM as ours and brings its configuration, except the
	// card, to what is desired. It takes VMs that are Ours or Unmarked.
	Configure(ctx context.Context, ref inventory.VMRef, record inventory.Record, desired inventory.Machine, handle Handle) (*Wait, error)
	// Attach puts the card into the VM, after proving that the claim is ours and
	// that no other VM has the card. Where claims are in VMs, another VM's claim is
	// waited for, and a fault.Exists or a fault.Conflict when it stays.
	Attach(ctx context.Context, ref inventory.VMRef, record inventory.Record, card inventory.Card, handle Handle) (*Wait, error)
}

// CloneOrder says what to clone and what the new VM is to be.
type CloneOrder struct {
	Record   inventory.Record
	Template inventory.VMRef
	Full     bool
	Storage  string // for the disks of a full clone; "" is the template's
	// TargetStorage is the storage that is written to, which takes only so many clones at
	// once; TargetHost is its host, "" when hosts share it.
	TargetStorage, TargetHost string
}

// Marker writes what makes a VM known as ours.
type Marker interface {
	// Adopt writes record and owner mark into an existing VM that a person named.
	// ref is that VM as it was when they did.
	Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record, handle Handle) (*Wait, error)
	// SetRecord writes the record of a VM that is ours.
	SetRecord(ctx context.Context, ref inventory.VMRef, record inventory.Record, handle Handle) (*Wait, error)
	// Disown takes our claim, record and marks off a VM of ours, which stays as it is.
	// What the VM itself needs of the claim's register stays too. A VM that is
	// nobody's already is nothing to do.
	Disown(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// SetParked puts the parked mark on or takes it off.
	SetParked(ctx context.Context, ref inventory.VMRef, parked bool, handle Handle) (*Wait, error)
}

// Power starts and stops VMs.
type Power interface {
	// Start starts the VM, after proving that no other VM has its card.
	Start(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// Stop asks the guest to shut down and, when it does not, pulls the plug.
	Stop(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// Agent asks the guest for its addresses. A guest that does not answer yet is
	// waited for.
	Agent(ctx context.Context, ref inventory.VMRef, handle Handle) (addresses []string, wait *Wait, err error)
}

// Remover takes VMs away.
type Remover interface {
	// Unprotect proves the VM's identity by a write and allows its end.
	Unprotect(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// Destroy destroys the stopped VM and its disks. A VM that is gone is nothing to
	// do; another VM under its identifier is a fault.Conflict.
	Destroy(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
}
