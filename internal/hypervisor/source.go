package hypervisor

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Backend is one hypervisor, seen and changed. It may be used by many goroutines.
type Backend interface {
	Source
	Target
}

// Source looks at one hypervisor and changes nothing. What could not be seen of a
// world that is otherwise well is said in the snapshot (Host.Gaps, VM.Unreadable,
// Snapshot.Missing), never left out.
type Source interface {
	// Observe returns a snapshot of all that the scope asks for, or an error.
	Observe(ctx context.Context, scope Scope) (*inventory.Snapshot, error)
	// ObserveVM looks at one VM, on the host of the reference if VMs have one while
	// they are stopped, and shows it as Observe does, agent and addresses left out;
	// nil when there is none of that identifier.
	ObserveVM(ctx context.Context, ref inventory.VMRef) (*inventory.VM, error)
	// Capabilities tells what this hypervisor can do. It sends nothing.
	Capabilities() inventory.Capabilities
}

// Scope says what an observation is for, so that no more is asked than needed,
// and which privileges are looked for.
type Scope struct {
	Storages []string // storages that VMs will use; "" is that of the template
	Bridges  []string // networks that VMs will use; "" is the hypervisor's default
	Pools    []string // pools whose workers are looked for by name, beside those that carry our mark
	Workers  []string // names of workers that do not begin with that of their pool, to be looked for likewise
	VMs      []string // identifiers of VMs of other people that are asked about
	Cards    bool     // cards will be attached
	NewVMs   int      // how many VMs may be made: so many free identifiers are wanted

	// ResourcePools are the resource pools that VMs go into, "" for none; empty is
	// none too.
	ResourcePools []string

	Agents bool // ask the guest agents of our running VMs for addresses

	// Only is the part of the hypervisor that is asked about; nil is all of it.
	Only *Extent
}

// Extent is a part of a hypervisor. Of what is outside, a snapshot has no more
// than lists of the whole tell: such VMs and hosts are Passed. All claims are in
// every snapshot.
type Extent struct {
	// Workers are the names of the workers that are asked about, whatever VMs bear
	// or claim them, with the hosts of these VMs and of their cards.
	Workers []string
	// Neighbours: the other VMs on those hosts too, so that it can be judged whether
	// the workers could be started.
	Neighbours bool
	// Hosts: what all hosts have, without their VMs and networks.
	Hosts bool
}
