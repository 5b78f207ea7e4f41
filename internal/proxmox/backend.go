package proxmox

import (
	"sync"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// The requests that are under way at once, of the whole program and about one
// host: a host answers with three workers by default (pveproxy, pvedaemon), so
// more would only queue there, in front of those of other people. The larger a
// cluster, the more its hosts can do side by side; beyond eight hosts it is our
// side that becomes the narrow one.
const (
	maxRequests  = 24
	hostRequests = 3
)

// NewLimit bounds the requests of a program, which may have several backends.
func NewLimit() *pve.Limit { return pve.NewLimit(maxRequests, hostRequests) }

// Backend is one Proxmox VE cluster. It may be used by many goroutines. For a
// minute it remembers what it read of the VMs and devices of each host; nothing
// else of the cluster is kept between calls.
type Backend struct {
	name   string // of the Hypervisor document
	client *pve.Client
	spec   v1alpha1.Proxmox

	// claiming serialises our own writes to the mapping file: its digest covers
	// all mappings, so parallel writers would only make each other repeat.
	claiming chan struct{}
	watched  watches // registers that are being released

	mapped  *shared[mappings]  // reads of the mappings
	flights *flights           // tasks that are under way
	clones  *keyed[[]pve.UPID] // reads of the clones under way, by host; "" is all hosts

	viewing sync.Mutex
	views   map[string]*hostView // by host
}

var _ hypervisor.Backend = (*Backend)(nil)

// Capabilities implements hypervisor.Source. The claim on a card is the
// description of its resource mapping, and VM numbers are ours to choose.
func (b *Backend) Capabilities() inventory.Capabilities {
	return inventory.Capabilities{Guest: inventory.GuestAgent, DefaultNetwork: v1alpha1.DefaultBridge}
}

// New makes a backend for the hypervisor that client talks to.
func New(name string, spec v1alpha1.Proxmox, client *pve.Client) *Backend {
	return &Backend{
		name: name, client: client, spec: spec, claiming: make(chan struct{}, 1), watched: watches{seen: map[string]watch{}},
		mapped: newShared[mappings](), flights: newFlights(), clones: newKeyed[[]pve.UPID](), views: map[string]*hostView{},
	}
}

// raw reports whether cards are attached by address, which only root@pam may.
func (b *Backend) raw() bool { return b.spec.Attach == v1alpha1.AttachRaw }
