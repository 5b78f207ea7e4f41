package memory

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

var errNotYet = &fault.Error{Kind: fault.Unsupported, Why: "this version cannot do it yet"}

// SetSeed implements hypervisor.Seeder.
func (b *Backend) SetSeed(context.Context, inventory.VMRef, hypervisor.Seed, hypervisor.Handle) (*hypervisor.Wait, error) {
	return nil, errNotYet
}

// RemoveSeeds implements hypervisor.Seeder.
func (b *Backend) RemoveSeeds(context.Context, inventory.VMRef, []byte, hypervisor.Handle) (*hypervisor.Wait, error) {
	return nil, errNotYet
}

// ReadGuest implements hypervisor.Guests.
func (b *Backend) ReadGuest(context.Context, inventory.VMRef, string, int) ([]byte, error) {
	return nil, errNotYet
}

// WriteGuest implements hypervisor.Guests.
func (b *Backend) WriteGuest(context.Context, inventory.VMRef, string, []byte) error {
	return errNotYet
}

// RunInGuest implements hypervisor.Guests.
func (b *Backend) RunInGuest(context.Context, inventory.VMRef, []string, hypervisor.Handle) (*hypervisor.GuestResult, *hypervisor.Wait, error) {
	return nil, nil, errNotYet
}
