package backendtest

import (
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Lab is one simulated hypervisor.
type Lab interface {
	// Setting describes the simulated hypervisor.
	Setting() Setting
	// Open connects one more engine. All of its requests go over the wire.
	Open(wire *Wire) hypervisor.Backend
	Operator
}

// Setting describes what a Lab has.
type Setting struct {
	Host     string
	Card     pci.CardRef // a free GPU of Host that can be passed through
	Template inventory.VMRef
	Storage  string            // that of the template's disk
	Machine  inventory.Machine // the declared machine of workers, without the card
}

// Operator is a person who changes VMs on the hypervisor. A change is complete when
// the method returns.
type Operator interface {
	// Make makes a stopped foreign VM on the Setting's host, and returns its
	// identifier: the given one, or any when that is "".
	Make(name, id string) string
	// Remove destroys a VM, even a protected or locked one.
	Remove(id string)
	// Edit calls change with a VM, and writes the changed VM back.
	Edit(id string, change func(*VM))
	// Fail makes the next task of the hypervisor fail with the text.
	Fail(text string)
	// Seeds are the images of the VM's seeds that are on the hypervisor, also those that the
	// VM does not have any more.
	Seeds(ref inventory.VMRef) [][]byte
	// Guest changes how the guest of a running VM reacts to calls.
	Guest(id string, how GuestReaction)
}

// VM is a VM as a person sees and changes it.
type VM struct {
	Name, UUID string
	Note       string
	Tags       []string
	Lock       string // the reason of a lock, "backup"; "" when not locked
	Running    bool
	Protected  bool
	Card       *pci.CardRef // in its configuration
}

// see reads a VM.
func see(operator Operator, id string) VM {
	var seen VM
	operator.Edit(id, func(vm *VM) { seen = *vm })
	return seen
}
