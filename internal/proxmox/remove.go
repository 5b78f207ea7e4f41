package proxmox

import (
	"context"
	"fmt"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Unprotect implements hypervisor.Remover. The write is made in any case: it is
// the compare-and-swap that proves the VM's identity before its end.
func (b *Backend) Unprotect(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	m := recall(handle)
	wait, err := b.writeOurs(ctx, ref, func(found seen) pve.ConfigUpdate {
		if m.Sent && !found.vm.Machine.Protection {
			return pve.ConfigUpdate{}
		}
		return pve.ConfigUpdate{Set: options{"protection": "0"}}
	})
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	if wait != nil {
		wait.Handle = memo{Sent: true}.handle()
	}
	return wait, b.wrap(err, "allow the end of the VM", place(ref))
}

// Destroy implements hypervisor.Remover.
func (b *Backend) Destroy(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.destroy(ctx, ref, recall(handle))
	return wait, b.wrap(err, "destroy the VM", place(ref))
}

const destroyWords = "the VM and its disks to be removed"

func (b *Backend) destroy(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	at, wait, err := b.follow(ctx, ref, m, "qmdestroy", destroyWords)
	switch {
	case at == working:
		return wait, err
	case at == over:
		return nil, b.unlessGone(ctx, ref, err)
	}
	found, err := b.prove(ctx, ref)
	if pve.KindOf(err) == pve.NotFound {
		return nil, b.reallyGone(ctx, ref)
	}
	if err != nil {
		return nil, err
	}
	if found.vm.Machine.Protection {
		return nil, &fault.Error{
			Kind: fault.Conflict, Doing: "destroy the VM", Where: place(ref),
			Why: "somebody turned its protection on again", Fix: "find out who and why before you repeat the command",
		}
	}
	// Destroying takes no digest: the number is all that it takes. So this comes
	// at once after the proof.
	task, err := b.client.Destroy(ctx, ref.Host, number(ref.ID), pve.DestroyOptions{Purge: true})
	wait, err = b.orFind(ctx, ref, "qmdestroy", destroyWords, 0, task, err)
	return wait, b.unlessGone(ctx, ref, err)
}

// unlessGone is how a removal ended: what counts is what is there.
func (b *Backend) unlessGone(ctx context.Context, ref inventory.VMRef, err error) error {
	if err == nil {
		return nil
	}
	_, lookErr := b.client.Pending(ctx, ref.Host, number(ref.ID))
	return errorUnless(pve.KindOf(lookErr) == pve.NotFound, err)
}

// reallyGone makes sure that a VM which is not on its host was not moved.
func (b *Backend) reallyGone(ctx context.Context, ref inventory.VMRef) error {
	resources, err := b.client.Resources(ctx, "vm")
	if err != nil {
		return err
	}
	for _, r := range resources {
		if r.VMID == number(ref.ID) && r.Node != ref.Host {
			return &fault.Error{
				Kind: fault.Conflict, Doing: "destroy the VM", Where: place(ref),
				Why: fmt.Sprintf("VM %s is on host %s now", ref.ID, r.Node), Fix: "run the same command again",
			}
		}
	}
	return nil
}
