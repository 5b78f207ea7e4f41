package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// power is one kind of task: start, stop or destroy.
type power struct {
	kind, what, doing string
	send              func(c *Cluster, id string) (string, error)
	done              func(seen) bool
	allow             func(context.Context, seen) error // the last check before it is sent; nil for none
}

// Start implements hypervisor.Power.
func (b *Backend) Start(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	return b.power(ctx, ref, recall(handle), power{
		"start", "the VM to start", "start the VM", (*Cluster).start, func(found seen) bool { return found.running }, b.startable,
	})
}

// Stop implements hypervisor.Power.
func (b *Backend) Stop(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	return orGone(b.power(ctx, ref, recall(handle), power{
		"stop", "the guest to shut down", "stop the VM", (*Cluster).stop, func(found seen) bool { return !found.running }, nil,
	}))
}

// Destroy implements hypervisor.Remover.
func (b *Backend) Destroy(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	return orGone(b.power(ctx, ref, recall(handle), power{
		"destroy", "the VM and its disks to be removed", "destroy the VM", (*Cluster).destroy, func(seen) bool { return false }, unprotected,
	}))
}

// orGone makes a missing VM count as done.
func orGone(wait *hypervisor.Wait, err error) (*hypervisor.Wait, error) {
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return wait, err
}

func unprotected(_ context.Context, found seen) error {
	if !found.next.Protection {
		return nil
	}
	return &fault.Error{
		Kind: fault.Conflict, Doing: "destroy the VM", Where: fault.Place{VM: found.id, Worker: found.name},
		Why: "somebody turned its protection on again", Fix: "find out who and why before you repeat the command",
	}
}

// power sends a task after proving the VM's identity, or waits for a task that is
// under way.
func (b *Backend) power(ctx context.Context, ref inventory.VMRef, m memo, p power) (*hypervisor.Wait, error) {
	wait, err := b.follow(ctx, m, p.what)
	if wait == nil && err == nil {
		wait, err = b.powerOnce(ctx, ref, p)
	}
	return wait, b.wrap(err, p.doing, ref)
}

func (b *Backend) powerOnce(ctx context.Context, ref inventory.VMRef, p power) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case found.doing == p.kind:
		return memo{Task: found.task}.wait(p.what, taskEvery), nil
	case p.done(found):
		return nil, nil
	}
	if p.allow != nil {
		if err := p.allow(ctx, found); err != nil {
			return nil, err
		}
	}
	task, err := request(ctx, b, true, func(c *Cluster) (string, error) { return p.send(c, found.id) })
	switch {
	case errors.Is(err, errLost):
		return b.second(), nil
	case err != nil:
		return nil, err
	}
	return memo{Task: task}.wait(p.what, taskEvery), nil
}

// far is the progress of a task.
func (t *task) far() string {
	return fmt.Sprintf("%d %%", 100*time.Since(t.begun)/t.until.Sub(t.begun))
}

// Agent implements hypervisor.Power.
func (b *Backend) Agent(ctx context.Context, ref inventory.VMRef, _ hypervisor.Handle) ([]string, *hypervisor.Wait, error) {
	found, err := b.read(ctx, ref.ID)
	switch {
	case err != nil:
		return nil, nil, b.wrap(err, "ask the guest", ref)
	case !found.answers():
		return nil, &hypervisor.Wait{For: "the guest to tell its addresses", CallAfter: 5 * time.Second}, nil
	}
	return found.addresses(), nil, nil
}

// answers reports whether the guest has booted.
func (s *seen) answers() bool { return s.running && time.Since(s.started) >= guestTime }

func (s *seen) addresses() []string {
	return []string{fmt.Sprintf("198.51.100.%d", 1+len(s.name)%250)}
}

// Unprotect implements hypervisor.Remover. It always writes: the write proves the VM's
// identity before it is destroyed.
func (b *Backend) Unprotect(ctx context.Context, ref inventory.VMRef, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return orGone(nil, b.wrap(err, "allow the end of the VM", ref))
	}
	wait, err := b.write(ctx, found, func(v *vm) { v.next.Protection, v.applied.Protection = false, false })
	return orGone(wait, b.wrap(err, "allow the end of the VM", ref))
}
