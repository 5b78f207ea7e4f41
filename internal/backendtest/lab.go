package backendtest

import (
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Lab is one simulated hypervisor.
type Lab interface {
	// Setting tells what there is to work with.
	Setting() Setting
	// Open connects one more engine, all of whose requests go over the wire.
	Open(wire *Wire) hypervisor.Backend
	Hands
}

// Setting is what a Lab has.
type Setting struct {
	Host     string
	Card     pci.CardRef // a GPU of Host that nobody has, fit to be passed through
	Template inventory.VMRef
	Storage  string            // that of the template's disk
	Machine  inventory.Machine // what workers are to be, without the card
}

// Hands are a person at the hypervisor, who does what they like. What they do is
// done when the method returns.
type Hands interface {
	// Make makes a stopped VM of somebody else on the Setting's host, and returns
	// its identifier: the given one, or any when that is "".
	Make(name, id string) string
	// Remove destroys a VM, whatever speaks against it.
	Remove(id string)
	// Edit shows a VM to change, and writes back what change did to it.
	Edit(id string, change func(*VM))
	// Fail lets the next task of the hypervisor fail with the text.
	Fail(text string)
}

// VM is a VM as a person sees and changes it.
type VM struct {
	Name, UUID string
	Note       string
	Tags       []string
	Lock       string // by what it is locked, "backup"; "" for nothing
	Running    bool
	Protected  bool
	Card       *pci.CardRef // in its configuration
}

// see shows a VM.
func see(hands Hands, id string) VM {
	var seen VM
	hands.Edit(id, func(vm *VM) { seen = *vm })
	return seen
}
