package proxmox

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
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
	// all mappings, so parallel writers would only make each other repeat. Who
	// puts a token in may write; unlike a mutex it can be given up waiting for.
	claiming chan struct{}

	mapped *shared[mappings] // reads of the mappings

	viewing sync.Mutex
	views   map[string]*hostView // by host
}

var (
	_ inventory.Source = (*Backend)(nil)
	_ apply.Target     = (*Backend)(nil)
)

// New makes a backend for the hypervisor that client talks to.
func New(name string, spec v1alpha1.Proxmox, client *pve.Client) *Backend {
	return &Backend{
		name: name, client: client, spec: spec, claiming: make(chan struct{}, 1),
		mapped: newShared[mappings](), views: map[string]*hostView{},
	}
}

// claimTurn waits for our turn to write mappings. done ends it.
func (b *Backend) claimTurn(ctx context.Context) (done func(), err error) {
	select {
	case b.claiming <- struct{}{}:
		return func() { <-b.claiming }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pause waits for about d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d + rand.N(d/4+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// raw tells that cards are attached by address, which only root@pam may.
func (b *Backend) raw() bool { return b.spec.Attach == v1alpha1.AttachRaw }
