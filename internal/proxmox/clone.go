package proxmox

import (
	"context"
	"errors"
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

// clone requests the clone and waits for its task. Proxmox uses a VM number only
// once. When the request fails, the VM under the number decides: while a clone runs,
// the new VM is locked (PVE::API2::Qemu, clone_vm); then its note names its worker.
func (b *Backend) clone(ctx context.Context, order hypervisor.CloneOrder, m memo) (*hypervisor.Wait, error) {
	switch {
	case m.Sent, m.Unknown:
		return b.seekClone(ctx, order, m)
	case m.Task.IsZero():
		return b.sendClone(ctx, order)
	}
	state, err := b.poll(ctx, m)
	switch {
	case state == taskRunning && err != nil:
		return nil, err
	case state == taskRunning && order.Full:
		return b.progress(ctx, m).underWay(cloneWords(order)), nil
	case state == taskRunning:
		return m.underWay(cloneWords(order)), nil
	case state == taskAbsent:
		return b.seekClone(ctx, order, memo{Since: m.Since, Sent: true})
	case ambiguous(err):
		return b.seekClone(ctx, order, memo{Since: m.Since, Task: m.Task, Sent: true})
	case err == nil:
		return nil, nil
	}
	return b.cloneFailed(ctx, order, err)
}

func cloneWords(order hypervisor.CloneOrder) string { return "the clone of " + order.Template.Name }

func (b *Backend) sendClone(ctx context.Context, order hypervisor.CloneOrder) (*hypervisor.Wait, error) {
	task, full, err := b.queues.take(ctx, b.cloneRequest(order))
	if full != nil {
		return full, nil
	}
	wait, err := taskStarted(cloneWords(order), 0, task, err)
	if err != nil {
		return b.cloneFailed(ctx, order, err)
	}
	return wait, nil
}

// cloneRequest is the request for a clone. It competes with the clones that write to
// the same storage. A clone task runs on the host of its template, and does not show
// its storage. So all clones that may write to the storage count: those of its host,
// or of all hosts when the storage is shared.
func (b *Backend) cloneRequest(order hypervisor.CloneOrder) queuedRequest {
	c := queuedRequest{what: "clones on " + order.TargetStorage, limit: linkedClones}
	if order.TargetHost != "" {
		c.what += " on " + order.TargetHost
	}
	if order.Full {
		c.limit = fullClones
	}
	c.active = func(ctx context.Context) ([]pve.UPID, error) {
		return b.clones.of(order.TargetHost).get(ctx, func(ctx context.Context) ([]pve.UPID, error) {
			return b.cloneTasks(ctx, order.TargetHost)
		})
	}
	c.send = func(ctx context.Context) (pve.Task, error) { return b.requestClone(ctx, order) }
	return c
}

// cloneTasks returns the running clone tasks of a host, or of all hosts when host is
// "". When they cannot be read, it returns none: the storage has its own lock.
func (b *Backend) cloneTasks(ctx context.Context, host string) (running []pve.UPID, err error) {
	var tasks []pve.TaskInfo
	if host == "" {
		tasks, err = b.client.ClusterTasks(ctx)
	} else {
		tasks, err = b.client.Tasks(ctx, host, pve.TaskFilter{Source: "active", Type: "qmclone"})
	}
	if err != nil {
		return nil, ctx.Err()
	}
	for _, task := range tasks {
		if task.Running() && task.Type == "qmclone" {
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

// cloneFailed decides what a failed clone means, by the VM under the number. A clone
// that still runs under the number is not ours when our task failed. When only the
// request failed, it may be ours, from a call whose handle was lost.
func (b *Backend) cloneFailed(ctx context.Context, order hypervisor.CloneOrder, err error) (*hypervisor.Wait, error) {
	if ctx.Err() != nil {
		return nil, err
	}
	if pve.KindOf(err) == pve.Locked && strings.Contains(err.Error(), "lock-"+order.Record.VM+".conf") {
		return nil, b.numberTaken(order.Record.VM, "another clone took it at the same time")
	}
	var failed *taskError
	state, _, lookErr := b.cloneState(ctx, order)
	switch {
	case fault.Is(lookErr, fault.Exists):
		return nil, lookErr // it says who has the number
	case lookErr == nil && state == cloneDone:
		return nil, nil
	case lookErr == nil && state == cloneRunning && errors.As(err, &failed):
		return nil, b.numberTaken(order.Record.VM, "another clone with this number is running")
	case lookErr == nil && state == cloneRunning:
		return b.seekClone(ctx, order, memo{Since: time.Now(), Unknown: true})
	}
	return nil, err
}

// seekClone looks for a clone when it is unknown whether the request arrived, or who
// sent it: a second request could make a second VM. A clone whose task died keeps its
// lock forever: it counts as dead when two reads in a row find no task.
func (b *Backend) seekClone(ctx context.Context, order hypervisor.CloneOrder, m memo) (*hypervisor.Wait, error) {
	state, host, err := b.cloneState(ctx, order)
	switch {
	case err != nil:
		return nil, err
	case state == cloneDone:
		return nil, nil
	case state == cloneAbsent && m.Unknown:
		return callAgain(), nil // it failed, and the number is free again
	case state == cloneAbsent && m.Task.IsZero() && time.Since(m.Since) < requestLife:
		return m.underWay("the request for the clone"), nil
	case state == cloneAbsent && m.Task.IsZero():
		return &hypervisor.Wait{For: "another request for the clone, because the first one was lost"}, nil
	case state == cloneAbsent:
		return nil, &fault.Error{Kind: fault.Failed, Doing: "clone the template", Where: place(refOf(order.Record)),
			Why: "the clone left no VM behind", Fix: "run the same command again"}
	}
	tasks, err := b.client.Tasks(ctx, host, pve.TaskFilter{Source: "active", Type: "qmclone"})
	if m.Count++; err != nil || runs(tasks) {
		m.Count = 0
	}
	switch {
	case m.Count == 2 && m.Unknown:
		return nil, b.numberTaken(order.Record.VM, "an incomplete clone has it, and no task works on it")
	case m.Count == 2:
		return nil, deadClone(order.Record, host)
	case m.Unknown:
		return m.underWay("the clone with number " + order.Record.VM + ", to see which worker it is for"), nil
	}
	return m.underWay(cloneWords(order)), nil
}

func deadClone(record inventory.Record, host string) error {
	vm := record.VM
	return &fault.Error{
		Kind: fault.Stuck, Doing: "clone the template", Where: place(refOf(record)),
		Why: "the VM is locked by a clone, but its task has ended",
		Fix: shell.Command("as root on %s, look at it with `qm config %s`; if it is only an incomplete clone: qm unlock %s && qm destroy %s; then run the same command again",
			host, vm, vm, vm),
	}
}

type cloneProgress int

const (
	cloneAbsent cloneProgress = iota
	cloneRunning
	cloneDone
)

// cloneState looks for the VM and returns its host. During the clone the VM is on the
// host of the template, and then moves to its own. It has no name before its first
// disk exists (PVE::API2::Qemu, clone_vm).
func (b *Backend) cloneState(ctx context.Context, order hypervisor.CloneOrder) (state cloneProgress, host string, err error) {
	record := order.Record
	found, err := b.read(ctx, order.Template.Host, number(record.VM), nil)
	if pve.KindOf(err) == pve.NotFound && order.Template.Host != record.Host {
		found, err = b.read(ctx, record.Host, number(record.VM), nil)
	}
	cloning := found.vm.State == inventory.Cloning
	ours := found.vm.Record != nil && found.vm.Record.UUID == record.UUID && found.vm.Name == record.Worker
	switch {
	case pve.KindOf(err) == pve.NotFound:
		return cloneAbsent, "", nil
	case err != nil:
		return 0, "", err
	case cloning && (ours || found.vm.Name == ""):
		return cloneRunning, found.vm.Host, nil
	case ours:
		return cloneDone, found.vm.Host, nil
	}
	return 0, "", b.numberTaken(record.VM, fmt.Sprintf("VM %q has it", found.vm.Name))
}

func (b *Backend) numberTaken(id, why string) error {
	return &fault.Error{
		Kind: fault.Exists, Where: fault.Place{VM: id}, Why: "the VM number is in use: " + why,
		Fix: "run the same command again: it uses another number",
	}
}
