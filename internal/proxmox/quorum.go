package proxmox

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// observeQuorum asks whether the cluster accepts changes. Without quorum, reads
// still work and every write fails, some only after ten seconds. An error is
// ignored here: a missing privilege is reported by missingRights.
func (b *Backend) observeQuorum(ctx context.Context, s *inventory.Snapshot) error {
	status, err := b.client.ClusterStatus(ctx)
	if err == nil {
		s.Frozen = frozen(status)
	}
	return ctx.Err()
}

// missingPool returns the resource pool of the document when it does not exist; ""
// when it exists, or when the login may not see it: missingRights reports that.
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
