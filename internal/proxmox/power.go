package proxmox

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// How long guests get to shut down before they are switched off, and how often an
// agent is asked: each question blocks one of three workers of the host for up to
// 3 s (PVE::QMPClient).
const (
	shutdownPatience = 3 * time.Minute
	agentEvery       = 5 * time.Second
)

// Start implements hypervisor.Power.
func (b *Backend) Start(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.start(ctx, ref, recall(handle))
	return wait, b.wrap(err, "start the VM", place(ref))
}

const startWords = "the VM to start"

func (b *Backend) start(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	wait, over, err := b.follow(ctx, ref, m, "qmstart", startWords)
	switch {
	case !over:
		return wait, err
	case m.Task.IsZero():
	case err == nil:
		return nil, nil
	default: // a start can end in an error while QEMU runs: what counts is what is there
		running, lookErr := b.running(ctx, ref)
		return nil, errorUnless(lookErr == nil && running, err)
	}
	free, wait, err := b.guardStart(ctx, ref)
	if wait != nil || err != nil || free.up {
		return wait, err
	}
	task, full, err := b.flights.take(ctx, contender{
		shelf: "starts on " + ref.Host, most: hostStarts, what: "starts on " + ref.Host,
		send: func(ctx context.Context) (pve.Task, error) { return b.client.Start(ctx, ref.Host, number(ref.ID), 0) },
	})
	if full != nil {
		return full, nil
	}
	return b.orFind(ctx, ref, "qmstart", startWords, task, err)
}

func errorUnless(well bool, err error) error {
	if well {
		return nil
	}
	return err
}

// follow asks for the task of a memo, or looks for the one that a request of which
// nobody knows may have begun. over is true when there is none, or it has ended
// with err; else the Wait or the error say what is known.
func (b *Backend) follow(ctx context.Context, ref inventory.VMRef, m memo, kind, what string) (wait *hypervisor.Wait, over bool, err error) {
	if m.Sent {
		if task := b.findTask(ctx, ref.Host, number(ref.ID), kind); !task.IsZero() {
			return memo{Since: m.Since, Task: task}.underWay(what), false, nil
		}
	}
	if m.Task.IsZero() {
		return nil, true, nil
	}
	ended, err := b.poll(ctx, m)
	if !ended && err == nil {
		wait = m.underWay(what)
	}
	return wait, ended, err
}

// orFind is begun for a request that a lock may have refused because such a task
// is under way already, of an earlier run: then that one is waited for.
func (b *Backend) orFind(ctx context.Context, ref inventory.VMRef, kind, what string, task pve.Task, err error) (*hypervisor.Wait, error) {
	if pve.KindOf(err) == pve.Locked && !ambiguous(err) {
		if under := b.findTask(ctx, ref.Host, number(ref.ID), kind); !under.IsZero() {
			return memo{Since: time.Now(), Task: under}.underWay(what), nil
		}
	}
	return begun(ctx, what, task, err)
}

// guardStart refuses to start a VM whose card is claimed for, or attached to,
// somebody else. It tells whether the VM runs already, so that there is nothing to
// refuse. The number is all that a start takes, so the VM is proven again at the
// last moment.
func (b *Backend) guardStart(ctx context.Context, ref inventory.VMRef) (freedom, *hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return freedom{}, nil, err
	}
	free := freedom{until: time.Now().Add(configsLast)}
	if hasCards(found) {
		free, err = b.guard(ctx, *found.vm.Record, func(known mappings) ([]pci.Slot, error) { return cardsToTake(found, known) })
	} else {
		free.up, err = b.running(ctx, ref)
	}
	if free.up || err != nil {
		return free, nil, errorUnless(free.up, err)
	}
	again, err := b.prove(ctx, ref)
	switch {
	case err != nil:
		return free, nil, err
	case again.config.Digest != found.config.Digest:
		return free, second(), nil
	case !free.good():
		return free, tooSlow(ref.Host), nil
	}
	return free, nil, nil
}

func hasCards(found seen) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(found.next)), func(key string) bool { return strings.HasPrefix(key, "hostpci") })
}

// cardsToTake are the cards that a VM takes when it starts.
func cardsToTake(found seen, known mappings) ([]pci.Slot, error) {
	var slots []pci.Slot
	host := found.vm.Record.Host
	for _, a := range attachments(found.config, host, known) {
		if len(a.Slots) != 1 {
			return nil, &fault.Error{
				Kind: fault.Refused, Doing: "find out which card the VM would take",
				Why: fmt.Sprintf("%s names mapping %q, which stands for %d cards on %s", a.Key, a.Mapping, len(a.Slots), host),
				Fix: "run gpuworker apply to attach the worker's own card",
			}
		}
		slots = append(slots, a.Slots[0])
	}
	return slots, nil
}

// Stop implements hypervisor.Power.
func (b *Backend) Stop(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.stop(ctx, ref, recall(handle))
	return wait, b.wrap(err, "stop the VM", place(ref))
}

const (
	shutdownWords = "the guest to shut down"
	stopWords     = "the VM to stop"
)

func (b *Backend) stop(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	words := shutdownWords
	if m.Task.Type == "qmstop" {
		words = stopWords
	}
	wait, over, taskErr := b.follow(ctx, ref, m, "qmshutdown", words)
	if !over {
		return wait, taskErr
	}
	running, err := b.running(ctx, ref)
	if pve.KindOf(err) == pve.NotFound || err == nil && !running {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if taskErr != nil && (m.Task.Type == "qmstop" || unheard(taskErr)) {
		return nil, taskErr
	}
	if _, err := b.prove(ctx, ref); err != nil {
		return nil, err
	}
	if m.Task.Type == "qmshutdown" || m.Count > 0 { // the guest was asked, in vain: pull the plug
		task, err := b.client.Stop(ctx, ref.Host, number(ref.ID))
		return b.orFind(ctx, ref, "qmstop", stopWords, task, err)
	}
	task, err := b.client.Shutdown(ctx, ref.Host, number(ref.ID), pve.ShutdownOptions{Timeout: shutdownPatience, ForceStop: true})
	wait, err = b.orFind(ctx, ref, "qmshutdown", shutdownWords, task, err)
	if err != nil && !unheard(err) { // it cannot be asked
		wait = memo{Since: time.Now(), Count: 1}.wait(stopWords, 0)
		return wait, nil
	}
	return wait, err
}

// unheard reports whether the guest was not asked to shut down yet: that is no
// reason to pull the plug.
func unheard(err error) bool {
	kind := pve.KindOf(err)
	return ambiguous(err) || kind == pve.Locked || kind == pve.Unavailable || kind == pve.NoQuorum
}

func (b *Backend) running(ctx context.Context, ref inventory.VMRef) (bool, error) {
	status, err := b.client.VMStatus(ctx, ref.Host, number(ref.ID))
	return status.Running(), err
}

// Agent implements hypervisor.Power.
func (b *Backend) Agent(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) ([]string, *hypervisor.Wait, error) {
	addresses, err := b.guestAddresses(ctx, ref.Host, number(ref.ID))
	kind := pve.KindOf(err)
	switch {
	case err == nil && len(addresses) > 0:
		return addresses, nil, nil
	case err == nil, kind == pve.AgentUnavailable, kind == pve.Unavailable:
		return nil, recall(handle).wait("the guest agent", agentEvery), nil
	}
	return nil, nil, b.wrap(err, "ask the guest agent", place(ref))
}

// maxGuestAddresses is how many addresses of a guest are kept. A node of a
// Kubernetes cluster has one for each of its pods' interfaces, too; the first
// are those of its own network cards.
const maxGuestAddresses = 16

// guestAddresses are the addresses that the guest told its agent, without
// loopback and link-local ones. The guest may tell anything: what is no address
// is left out, and so is what is more than anybody reads.
func (b *Backend) guestAddresses(ctx context.Context, host string, vmid int) ([]string, error) {
	interfaces, err := b.client.AgentNetworkInterfaces(ctx, host, vmid)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, i := range interfaces {
		for _, a := range i.Addresses {
			address, err := netip.ParseAddr(a.Address)
			if err != nil || address.Zone() != "" || i.Name == "lo" || !address.IsGlobalUnicast() {
				continue
			}
			if addresses = append(addresses, address.String()); len(addresses) == maxGuestAddresses {
				return addresses, nil
			}
		}
	}
	return addresses, nil
}
