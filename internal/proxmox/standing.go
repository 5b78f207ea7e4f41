package proxmox

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// observeQuorum asks whether the cluster takes changes. Without quorum every read
// goes on to be answered, and every write fails, some only after ten seconds.
// When it cannot be asked, the missing privilege is told elsewhere.
func (b *Backend) observeQuorum(ctx context.Context, s *inventory.Snapshot) error {
	status, err := b.client.ClusterStatus(ctx)
	if err == nil {
		s.Frozen = frozen(status)
	}
	return ctx.Err()
}

// missingPool is the resource pool of the document when there is none of that
// name; "" when there is, or when the login may not see it, which is told as a
// missing privilege.
func (b *Backend) missingPool(ctx context.Context) (string, error) {
	if b.spec.ResourcePool == "" {
		return "", nil
	}
	err := b.client.CheckPool(ctx, b.spec.ResourcePool)
	if pve.KindOf(err) == pve.NotFound {
		return b.spec.ResourcePool, nil
	}
	return "", ctx.Err()
}
