package proxmox

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/pve"
)

// FreeID implements hypervisor.Builder.
func (b *Backend) FreeID(ctx context.Context, taken map[string]bool) (string, error) {
	resources, err := b.client.Resources(ctx, "vm")
	if err != nil {
		return "", b.wrap(err, "find a free VM number", fault.Place{})
	}
	used := map[int]bool{}
	for _, r := range resources {
		used[r.VMID] = true
	}
	for vmid := b.spec.VMIDs.First; vmid <= b.spec.VMIDs.Last; vmid++ {
		if id := idOf(vmid); !used[vmid] && !taken[id] {
			return id, nil
		}
	}
	return "", &fault.Error{
		Kind: fault.Refused, Doing: "find a free VM number", Where: fault.Place{Hypervisor: b.name},
		Why: fmt.Sprintf("all numbers from %d to %d are in use", b.spec.VMIDs.First, b.spec.VMIDs.Last),
		Fix: "widen spec.proxmox.vmids of the Hypervisor",
	}
}

// Clone implements hypervisor.Builder.
func (b *Backend) Clone(ctx context.Context, order hypervisor.CloneOrder, handle hypervisor.Handle) (string, *hypervisor.Wait, error) {
	r := order.Record
	wait, err := b.clone(ctx, order, recall(handle))
	return r.VM, wait, b.wrap(err, "clone the template", fault.Place{Host: r.Host, VM: r.VM, Worker: r.Worker})
}

// clone asks for the clone, whose number Proxmox gives out once, and when that
// fails it decides by what is there: while a clone runs, the new VM is nameless
// and locked (PVE::API2::Qemu, clone_vm), afterwards its note says whose it is.
func (b *Backend) clone(ctx context.Context, order hypervisor.CloneOrder, m memo) (*hypervisor.Wait, error) {
	switch {
	case m.Sent:
		return b.seekClone(ctx, order, m)
	case m.Task.IsZero():
		return b.sendClone(ctx, order)
	}
	ended, err := b.poll(ctx, m)
	switch {
	case !ended && err != nil:
		return nil, err
	case !ended:
		return m.underWay(cloneWords(order)), nil
	case err == nil:
		return nil, nil
	case ambiguous(err):
		return b.seekClone(ctx, order, memo{Since: m.Since, Sent: true})
	}
	return b.cloneFailed(ctx, order, err)
}

func cloneWords(order hypervisor.CloneOrder) string { return "the clone of " + order.Template.Name }

func (b *Backend) sendClone(ctx context.Context, order hypervisor.CloneOrder) (*hypervisor.Wait, error) {
	task, full, err := b.flights.take(ctx, b.cloneContender(order))
	if full != nil {
		return full, nil
	}
	wait, err := begun(ctx, cloneWords(order), task, err)
	if err != nil {
		return b.cloneFailed(ctx, order, err)
	}
	return wait, nil
}

// cloneContender is the request for a clone, and what it competes with. The tasks
// of clones run where their templates are; of those that are not ours nobody can
// see where they write, so all count.
func (b *Backend) cloneContender(order hypervisor.CloneOrder) contender {
	c := contender{shelf: "clones on " + order.Shelf, most: linkedClones, what: "clones on " + order.Shelf}
	if order.Full {
		c.most = fullClones
	}
	c.active = func(ctx context.Context) ([]pve.UPID, error) {
		return b.clones.of(order.Template.Host).get(ctx, func(ctx context.Context) ([]pve.UPID, error) {
			return b.cloneTasks(ctx, order.Template.Host)
		})
	}
	c.send = func(ctx context.Context) (pve.Task, error) { return b.requestClone(ctx, order) }
	return c
}

// cloneTasks are the clones that a host works on. When that cannot be seen, it
// counts as none: the storage's own lock is behind it.
func (b *Backend) cloneTasks(ctx context.Context, host string) ([]pve.UPID, error) {
	tasks, err := b.client.Tasks(ctx, host, pve.TaskFilter{Source: "active", Type: "qmclone"})
	if err != nil {
		return nil, ctx.Err()
	}
	var running []pve.UPID
	for _, task := range tasks {
		if task.Running() {
			running = append(running, task.UPID)
		}
	}
	return running, nil
}

func (b *Backend) requestClone(ctx context.Context, order hypervisor.CloneOrder) (pve.Task, error) {
	r := order.Record
	options := pve.CloneOptions{
		NewID: number(r.VM), Name: r.Worker, Description: note(r, ""), Full: order.Full, Pool: b.spec.ResourcePool,
	}
	if order.Full {
		options.Storage = order.Storage
	}
	if order.Template.Host != r.Host {
		options.Target = r.Host
	}
	return b.client.Clone(ctx, order.Template.Host, number(order.Template.ID), options)
}

// cloneFailed decides about a clone that ended in an error: what is there counts.
func (b *Backend) cloneFailed(ctx context.Context, order hypervisor.CloneOrder, err error) (*hypervisor.Wait, error) {
	if ctx.Err() != nil {
		return nil, err
	}
	if pve.KindOf(err) == pve.Locked && strings.Contains(err.Error(), "lock-"+order.Record.VM+".conf") {
		return nil, b.numberTaken(order.Record.VM, "another clone took it at the same moment")
	}
	state, lookErr := b.cloneState(ctx, order.Record)
	switch {
	case fault.Is(lookErr, fault.Exists):
		return nil, lookErr // it says who has the number
	case lookErr == nil && state == cloneDone:
		return nil, nil
	case lookErr == nil && state == cloneRunning:
		return nil, b.numberTaken(order.Record.VM, "another clone is being made under it")
	}
	return nil, err
}

// cloneGrace is how long a request for a clone may be on its way: no request lives
// longer than the proxy's 30 s (pve-http-server).
const cloneGrace = 40 * time.Second

// seekClone looks for a clone of which nobody knows whether it was asked for: a
// second request would make a second VM beside the one that nobody sees. A clone
// whose task died keeps its lock for ever: two looks in a row without a task tell.
func (b *Backend) seekClone(ctx context.Context, order hypervisor.CloneOrder, m memo) (*hypervisor.Wait, error) {
	state, err := b.cloneState(ctx, order.Record)
	switch {
	case err != nil:
		return nil, err
	case state == cloneDone:
		return nil, nil
	case state == cloneAbsent && time.Since(m.Since) < cloneGrace:
		return m.underWay("the request for the clone"), nil
	case state == cloneAbsent:
		return nil, &fault.Error{Kind: fault.Failed, Doing: "clone the template", Where: place(refOf(order.Record)),
			Why: "the clone left no VM behind", Fix: "run the same command again"}
	}
	tasks, err := b.client.Tasks(ctx, order.Template.Host, pve.TaskFilter{Source: "active", Type: "qmclone"})
	if m.Count++; err != nil || runs(tasks) {
		m.Count = 0
	}
	if m.Count == 2 {
		return nil, deadClone(order.Record)
	}
	return m.underWay(cloneWords(order)), nil
}

func deadClone(record inventory.Record) error {
	return &fault.Error{
		Kind: fault.Stuck, Doing: "clone the template", Where: place(refOf(record)),
		Why: "the VM is locked by a clone that no task works on any more",
		Fix: shell.Command("as root on %s, look at it with `qm config %s`, and when it is only the rest of a clone: qm unlock %s && qm destroy %s; then run the same command again",
			record.Host, record.VM, record.VM, record.VM),
	}
}

type cloneProgress int

const (
	cloneAbsent cloneProgress = iota
	cloneRunning
	cloneDone
)

func (b *Backend) cloneState(ctx context.Context, record inventory.Record) (cloneProgress, error) {
	found, err := b.read(ctx, record.Host, number(record.VM), nil)
	switch {
	case pve.KindOf(err) == pve.NotFound:
		return cloneAbsent, nil
	case err != nil:
		return 0, err
	case found.next["lock"] == "clone":
		return cloneRunning, nil
	case found.vm.Record != nil && found.vm.Record.UUID == record.UUID && found.vm.Name == record.Worker:
		return cloneDone, nil
	}
	return 0, b.numberTaken(record.VM, fmt.Sprintf("VM %q has it", found.vm.Name))
}

func (b *Backend) numberTaken(id, why string) error {
	return &fault.Error{
		Kind: fault.Exists, Where: fault.Place{VM: id}, Why: "the VM number is taken: " + why,
		Fix: "run the same command again: it takes another number",
	}
}
