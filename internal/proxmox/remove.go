package proxmox

import (
	"context"
	"fmt"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Unprotect implements hypervisor.Remover. The first call writes even if the protection is
// already off: the write carries the digest of the configuration that was just read, so it
// proves the VM's identity. If the answer to this write is lost, or the write is refused
// because the VM changed, Unprotect is called again with a handle that says that a write was
// sent. This call proves the ownership by reading, and writes only if the protection is
// still on: if it is off, nothing is left to do.
func (b *Backend) Unprotect(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	m := recall(handle)
	wait, err := b.writeOurs(ctx, ref, func(found observedVM) pve.ConfigUpdate {
		if m.Sent && !found.vm.Machine.Protection {
			return pve.ConfigUpdate{}
		}
		return pve.ConfigUpdate{Set: options{"protection": "0"}}
	})
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil // Destroy finds out whether it is gone
	}
	if wait != nil {
		wait.Handle = memo{Sent: true}.handle()
	}
	return wait, b.wrap(err, "remove the protection of the VM", place(ref))
}

// Destroy implements hypervisor.Remover.
func (b *Backend) Destroy(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.destroy(ctx, ref, recall(handle))
	return wait, b.wrap(err, destroyDoing, place(ref))
}

// destroyDoing is what is being done, in errors.
const destroyDoing = "destroy the VM"

// destroyWords is the text of Wait.For while a VM is destroyed.
const destroyWords = "the VM and its disks to be removed"

func (b *Backend) destroy(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	state, wait, err := b.follow(ctx, ref, m, "qmdestroy", destroyWords)
	switch {
	case state == taskRunning:
		return wait, err
	case state == taskEnded:
		return nil, b.errorUnlessGone(ctx, ref, err)
	}
	found, err := b.prove(ctx, ref)
	if pve.KindOf(err) == pve.NotFound {
		return nil, b.errorIfMoved(ctx, ref, destroyDoing)
	}
	if err != nil {
		return nil, err
	}
	if found.vm.Machine.Protection {
		return nil, &fault.Error{
			Kind: fault.Conflict, Doing: "destroy the VM", Where: place(ref),
			Why: "its protection was turned on again", Fix: "find out who did it and why before you repeat the command",
		}
	}
	// The request takes no digest, only the number. So it is sent directly after
	// the proof.
	task, err := b.client.Destroy(ctx, ref.Host, number(ref.ID), pve.DestroyOptions{Purge: true})
	wait, err = b.startedOrFound(ctx, ref, "qmdestroy", destroyWords, 0, task, err)
	return wait, b.errorUnlessGone(ctx, ref, err)
}

// errorUnlessGone returns err unless the host answers that it does not have the VM. In
// that case it returns nil, or the error of errorIfMoved.
func (b *Backend) errorUnlessGone(ctx context.Context, ref inventory.VMRef, err error) error {
	if err == nil {
		return nil
	}
	if _, lookErr := b.client.Pending(ctx, ref.Host, number(ref.ID)); pve.KindOf(lookErr) != pve.NotFound {
		return err
	}
	return b.errorIfMoved(ctx, ref, destroyDoing)
}

// errorIfMoved returns an error if the VM is on another host now, or if this cannot be
// read.
func (b *Backend) errorIfMoved(ctx context.Context, ref inventory.VMRef, doing string) error {
	resources, err := b.client.Resources(ctx, "vm")
	if err != nil {
		return err
	}
	for _, r := range resources {
		if r.VMID == number(ref.ID) && r.Node != ref.Host {
			return &fault.Error{
				Kind: fault.Conflict, Doing: doing, Where: place(ref),
				Why: fmt.Sprintf("VM %s is on host %s now", ref.ID, r.Node), Fix: "run the same command again",
			}
		}
	}
	return nil
}
