package proxmox

import (
	"context"
	"errors"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// callLimit is how long one call may take.
const callLimit = 45 * time.Second

// driver calls a backend's methods again until they are done, as apply does: after
// the pause of each Wait, and with its handle.
type driver struct{ *Backend }

// step is one call of a method.
type step func(context.Context, hypervisor.Handle) (*hypervisor.Wait, error)

func finish(ctx context.Context, do step) error { return goOn(ctx, do, "") }

// goOn continues a step with a handle until it is done.
func goOn(ctx context.Context, do step, handle hypervisor.Handle) error {
	const most = 5000 // calls
	for range most {
		wait, err := once(ctx, do, handle)
		if err != nil || wait == nil {
			return err
		}
		if err := pauseExactly(ctx, wait.CallAfter); err != nil {
			return err
		}
		handle = wait.Handle
	}
	return errors.New("it is never done")
}

// once calls a step once, with the call limit as timeout.
func once(ctx context.Context, do step, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	short, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return do(short, handle)
}

// order returns an order for a linked clone of the template on pve1.
func order(record inventory.Record) hypervisor.CloneOrder {
	return hypervisor.CloneOrder{
		Record: record, Template: inventory.VMRef{Host: "pve1", ID: "9000", Name: "ubuntu-22.04"},
		TargetStorage: "local-lvm", TargetHost: "pve1",
	}
}

// full returns an order for a full clone of the same template.
func full(record inventory.Record) hypervisor.CloneOrder {
	o := order(record)
	o.Full = true
	return o
}

func (d driver) Claim(ctx context.Context, record, was inventory.Record) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Claim(ctx, refOf(record), record, was, h)
	})
}

func (d driver) Release(ctx context.Context, held inventory.Record, card pci.CardRef) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Release(ctx, held, card, h)
	})
}

func (d driver) Clone(ctx context.Context, o hypervisor.CloneOrder) error {
	return finish(ctx, d.cloning(o))
}

func (d driver) cloning(o hypervisor.CloneOrder) step {
	return func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		_, wait, err := d.Backend.Clone(ctx, o, h)
		return wait, err
	}
}

func (d driver) Configure(ctx context.Context, record inventory.Record, desired inventory.Machine) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Configure(ctx, refOf(record), record, desired, h)
	})
}

func (d driver) Attach(ctx context.Context, record inventory.Record, card inventory.Card) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Attach(ctx, refOf(record), record, card, h)
	})
}

func (d driver) Adopt(ctx context.Context, ref inventory.VMRef, record inventory.Record) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Adopt(ctx, ref, record, h)
	})
}

func (d driver) SetRecord(ctx context.Context, ref inventory.VMRef, record inventory.Record) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.SetRecord(ctx, ref, record, h)
	})
}

func (d driver) SetParked(ctx context.Context, ref inventory.VMRef, parked bool) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.SetParked(ctx, ref, parked, h)
	})
}

// of calls a method that takes a VM and a handle until it is done.
func of(ctx context.Context, ref inventory.VMRef, method func(context.Context, inventory.VMRef, hypervisor.Handle) (*hypervisor.Wait, error)) error {
	return finish(ctx, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) { return method(ctx, ref, h) })
}

func (d driver) Start(ctx context.Context, ref inventory.VMRef) error {
	return of(ctx, ref, d.Backend.Start)
}

func (d driver) Stop(ctx context.Context, ref inventory.VMRef) error {
	return of(ctx, ref, d.Backend.Stop)
}

func (d driver) Unprotect(ctx context.Context, ref inventory.VMRef) error {
	return of(ctx, ref, d.Backend.Unprotect)
}

func (d driver) Destroy(ctx context.Context, ref inventory.VMRef) error {
	return of(ctx, ref, d.Backend.Destroy)
}

func (d driver) Agent(ctx context.Context, ref inventory.VMRef) (addresses []string, err error) {
	err = finish(ctx, func(ctx context.Context, h hypervisor.Handle) (wait *hypervisor.Wait, err error) {
		addresses, wait, err = d.Backend.Agent(ctx, ref, h)
		return wait, err
	})
	return addresses, err
}
