package hypervisor

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Backend observes and changes one hypervisor. It may be used by many goroutines.
type Backend interface {
	Source
	Target
}

// Source observes one hypervisor and changes nothing. When parts of it cannot be
// read, the snapshot says so (Host.Gaps, VM.Unreadable, Snapshot.Missing) and does not
// leave them out.
type Source interface {
	// Observe returns a snapshot of everything in the scope.
	Observe(ctx context.Context, scope Scope) (*inventory.Snapshot, error)
	// ObserveVM observes one VM, like Observe but without agent and addresses. Where
	// stopped VMs have a host, it looks only on the host of the reference. It returns
	// nil when there is no VM with this identifier.
	ObserveVM(ctx context.Context, ref inventory.VMRef) (*inventory.VM, error)
	// Capabilities returns what this hypervisor can do, without any request.
	Capabilities() inventory.Capabilities
}

// Scope says what an observation is for: what has to be read, and which privileges
// are needed.
type Scope struct {
	Storages []string // storages that VMs will use; "" is that of the template
	Bridges  []string // networks that VMs will use; "" is the hypervisor's default
	Pools    []string // VMs that are named like workers of these pools are read, besides those with our mark
	Workers  []string // names of workers that do not begin with the name of their pool; read too
	VMs      []string // identifiers of foreign VMs that are read too
	Cards    bool     // cards will be attached
	NewVMs   int      // how many VMs may be made, and so how many free identifiers are needed

	// ResourcePools are the resource pools of VMs, "" for none. An empty list means
	// none too.
	ResourcePools []string

	Agents bool // ask the guest agents of our running VMs for addresses
	Seeds  bool // list the images of seeds on the storages

	// UseSeeds: VMs will get seeds. Guests: the programs in guests will be reached. They
	// need further privileges.
	UseSeeds, Guests bool

	// Only limits the observation to a part of the hypervisor; nil is all of it.
	Only *Extent
}

// Extent is a part of a hypervisor. VMs and hosts outside of it are Skipped: a
// snapshot has only their data from lists of the whole hypervisor. All claims are in
// every snapshot.
type Extent struct {
	// Workers are the names of workers to observe: all VMs that have such a name or a
	// claim for it, with the hosts of these VMs and of their cards.
	Workers []string
	// On are further hosts to observe, without their VMs.
	On []string
	// Neighbours: also the other VMs on those hosts, which is needed to judge whether
	// workers can be started there.
	Neighbours bool
	// Hosts: all hosts, without their VMs and networks.
	Hosts bool
}
