package proxmox

import (
	"sync"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Limits of concurrent requests: of the whole program, and about one host. A host
// answers with three workers by default (pveproxy, pvedaemon); more requests would
// only queue there and delay other users. With more than eight hosts, maxRequests
// is the limit that counts.
const (
	maxRequests  = 24
	hostRequests = 3
)

// NewLimit makes the limit of concurrent requests that all backends of a program share.
func NewLimit() *pve.Limit { return pve.NewLimit(maxRequests, hostRequests) }

// Backend is one Proxmox VE cluster. It is safe for concurrent use. It caches the
// VMs and devices of each host for a minute; nothing else of the cluster is kept
// between calls.
type Backend struct {
	name   string // of the Hypervisor document
	client *pve.Client
	spec   v1alpha1.Proxmox

	// claiming serialises our own writes to the mapping file: its digest covers
	// all mappings, so parallel writes would only conflict and be repeated.
	claimLock chan struct{}
	watched   watches // registers that are being released

	mapped *shared[mappings]  // reads of the mappings
	queues *taskQueues        // running tasks
	clones *keyed[[]pve.UPID] // reads of the running clone tasks, by host; "" is all hosts

	cachesMu sync.Mutex
	caches   map[string]*hostCache // by host
}

var _ hypervisor.Backend = (*Backend)(nil)

// Capabilities implements hypervisor.Source. The claim on a card is stored in the
// description of its resource mapping, and we choose the VM numbers.
func (b *Backend) Capabilities() inventory.Capabilities {
	return inventory.Capabilities{
		SeedISO: true, SeedStorage: b.isoStorage(), Guest: inventory.GuestAgent, GuestFile: pve.MaxAgentFile, DefaultNetwork: v1alpha1.DefaultBridge,
	}
}

// New returns a backend for the cluster that client connects to.
func New(name string, spec v1alpha1.Proxmox, client *pve.Client) *Backend {
	return &Backend{
		name: name, client: client, spec: spec, claimLock: make(chan struct{}, 1), watched: watches{seen: map[string]watch{}},
		mapped: newShared[mappings](), queues: newTaskQueues(), clones: newKeyed[[]pve.UPID](), caches: map[string]*hostCache{},
	}
}

// raw reports whether cards are attached by address, which only root@pam may do.
func (b *Backend) raw() bool { return b.spec.Attach == v1alpha1.AttachRaw }
