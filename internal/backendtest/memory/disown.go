package memory

import (
	"context"
	"slices"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Disown implements hypervisor.Marker. Claim, record and marks are all in the VM, so
// one write removes them.
func (b *Backend) Disown(ctx context.Context, ref inventory.VMRef, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.disown(ctx, ref)
	return wait, b.wrap(err, "let go of the VM", ref)
}

func (b *Backend) disown(ctx context.Context, ref inventory.VMRef) (*hypervisor.Wait, error) {
	found, err := b.read(ctx, ref.ID)
	if err != nil {
		return nil, err
	}
	observed := found.observed()
	if ownership, _ := observed.Ownership(); ownership == inventory.Foreign && found.uuid == ref.UUID && found.name == ref.Name {
		return nil, nil
	}
	if found, err = b.prove(ctx, ref); err != nil {
		return nil, err
	}
	tags := slices.DeleteFunc(slices.Clone(found.tags), func(tag string) bool {
		return tag == inventory.OwnerTag || tag == inventory.ParkedTag
	})
	return b.write(ctx, found, func(v *vm) { v.note, v.tags = found.record.Rest, tags })
}
