package hypervisor

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Target changes one hypervisor. It consists of the small interfaces below.
//
// No method waits. Each reads, does at most one write and the reads that prove it,
// and returns. A nil Wait means that the work is done. Otherwise the Wait says when to
// call again; the next call passes the handle of that Wait. When the handle is lost,
// as after a crash, the next call passes an empty one, and work that is already done
// is not repeated. If the handle of every Wait is lost, the work may never end: where
// two writes belong together, the second one needs the handle.
//
// Every method that changes a VM first proves, by reading it again, that it is the VM
// of the VMRef, and writes by compare-and-swap. When the proof fails, it changes
// nothing and returns a fault.Conflict. When another write came first, or when it is
// not known whether the write arrived, the result is a Wait and not an error: the next
// call reads again. Hypervisors do not compare power changes and the removal of a VM;
// these requests directly follow the proof.
//
// A missing VM is a fault.NotFound; for Stop, Unprotect and Destroy the work is then
// done. A VM that somebody else has locked is a fault.Busy. An unusable record is never
// overwritten.
//
// After a fault.Unavailable, work may still be under way: the call is repeated with
// the handle of the last Wait. After any other error no work is under way: a retry
// begins again with an empty handle.
type Target interface {
	Claimer
	Builder
	Marker
	Power
	Seeder
	Guests
	Remover
}

// Claimer reserves cards.
type Claimer interface {
	// Claim reserves record.Card for record.Worker. It may replace only the claim was:
	// the worker's own claim that the caller has seen, zero for none. A claim of
	// another worker is a fault.Exists that names the worker. Another claim of the same
	// worker belongs to another engine and is a fault.Conflict. In both cases nothing
	// is claimed. ref is the VM for the card: where claims are written into VMs, it
	// must exist. A claim in another VM of the worker is never replaced: it is a
	// fault.Conflict until that VM is destroyed or the claim is released.
	Claim(ctx context.Context, ref inventory.VMRef, record, was inventory.Record, handle Handle) (*Wait, error)
	// Release releases the card from the claim held. When there is another claim, even
	// of the same worker for another VM, or no claim, the work is done.
	Release(ctx context.Context, held inventory.Record, card pci.CardRef, handle Handle) (*Wait, error)
}

// Builder makes and changes VMs.
type Builder interface {
	// FreeID proposes an identifier that is not in use and not in taken. Where the
	// hypervisor chooses identifiers, it returns a fault.Unsupported.
	FreeID(ctx context.Context, taken map[string]bool) (string, error)
	// Clone makes a VM with the identifier record.VM and with the name and note of the
	// record. An identifier that is in use is a fault.Exists. Where the hypervisor
	// chooses identifiers, a name that is in use is one too, so that two engines cannot
	// make the same worker twice. A call without a handle while its clone is under way
	// may also be a fault.Exists, where the hypervisor shows only that some clone is
	// running (ObserveVM: Cloning). id is the VM's identifier; it is known at the
	// latest when the work is done.
	Clone(ctx context.Context, order CloneOrder, handle Handle) (id string, wait *Wait, err error)
	// Configure marks the VM as ours and makes its configuration, except the card, as
	// desired. The VM must be Ours or Unmarked.
	Configure(ctx context.Context, ref inventory.VMRef, record inventory.Record, desired inventory.Machine, handle Handle) (*Wait, error)
	// Attach adds the card to the VM's configuration, after proving that the claim is
	// ours and that no other VM has the card. Where claims are in VMs, it waits for a
	// claim of another VM to go; if it stays, that is a fault.Exists or fault.Conflict.
	Attach(ctx context.Context, ref inventory.VMRef, record inventory.Record, card inventory.Card, handle Handle) (*Wait, error)
}

// CloneOrder is an order for a clone.
type CloneOrder struct {
	Record   inventory.Record // of the new VM
	Template inventory.VMRef
	Full     bool
	Storage  string // for the disks of a full clone; "" is the template's
	// TargetStorage is the storage that is written to; the number of parallel clones to
	// one storage is limited. TargetHost is its host, "" when hosts share it.
	TargetStorage, TargetHost string
}

// Marker writes the marks by which a VM is ours.
type Marker interface {
	// Adopt writes record and owner mark into an existing VM. ref is the VM at the time
	// when a person named it.
	Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record, handle Handle) (*Wait, error)
	// SetRecord writes the record of a VM that is ours.
	SetRecord(ctx context.Context, ref inventory.VMRef, record inventory.Record, handle Handle) (*Wait, error)
	// Disown removes our claim, record and marks from a VM of ours, which otherwise
	// stays as it is. Parts of the claim's register that the VM needs stay too. For a VM
	// that is not ours any more the work is done.
	Disown(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// SetParked adds or removes the parked mark.
	SetParked(ctx context.Context, ref inventory.VMRef, parked bool, handle Handle) (*Wait, error)
}

// Power starts and stops VMs.
type Power interface {
	// Start starts the VM, after proving that no other VM has its card.
	Start(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// Stop asks the guest to shut down and, if it does not, powers the VM off.
	Stop(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// Agent asks the guest for its addresses. It waits while the guest does not answer.
	Agent(ctx context.Context, ref inventory.VMRef, handle Handle) (addresses []string, wait *Wait, err error)
}

// Remover destroys VMs.
type Remover interface {
	// Unprotect proves the VM's identity by a write and allows its removal.
	Unprotect(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
	// Destroy destroys the stopped VM and its disks. For a missing VM the work is done;
	// another VM with its identifier is a fault.Conflict.
	Destroy(ctx context.Context, ref inventory.VMRef, handle Handle) (*Wait, error)
}
