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
	at, wait, err := b.follow(ctx, ref, m, "qmstart", startWords)
	switch {
	case at == working:
		return wait, err
	case at == over && err == nil && m.Task.Type == haStart:
		return b.startedByHA(ctx, ref, m)
	case at == over:
		return nil, b.unlessRunning(ctx, ref, err)
	}
	c := contender{what: "starts on " + ref.Host, most: hostStarts}
	if full := b.flights.full(c); full != nil {
		return full, nil
	}
	found, free, err := b.guardStart(ctx, ref)
	if err != nil || free.up {
		return nil, err
	}
	var changed error
	c.send = func(ctx context.Context) (task pve.Task, err error) {
		if wait, changed = b.sameStill(ctx, ref, found, free); wait != nil || changed != nil {
			return pve.Task{}, nil
		}
		return b.client.Start(ctx, ref.Host, number(ref.ID), 0)
	}
	task, full, err := b.flights.take(ctx, c)
	switch {
	case full != nil:
		return full, nil
	case wait != nil || changed != nil:
		return wait, changed
	}
	wait, err = b.orFind(ctx, ref, "qmstart", startWords, 0, task, err)
	return wait, b.unlessRunning(ctx, ref, err)
}

// A VM that the HA manager has is started and stopped by it: tasks of these types
// only tell it so. It acts some seconds later.
const (
	haStart    = "hastart"
	haStop     = "hastop"
	haPatience = shutdownPatience + time.Minute
)

func (b *Backend) startedByHA(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	running, err := b.running(ctx, ref)
	if err != nil || running {
		return nil, err
	}
	return m.underWay(startWords), nil
}

// unlessRunning is how a start ended. It can end in an error while QEMU runs: what
// counts is what is there.
func (b *Backend) unlessRunning(ctx context.Context, ref inventory.VMRef, err error) error {
	if err == nil {
		return nil
	}
	running, lookErr := b.running(ctx, ref)
	return errorUnless(lookErr == nil && running, err)
}

func errorUnless(well bool, err error) error {
	if well {
		return nil
	}
	return err
}

// guardStart refuses to start a VM whose card is claimed for, or attached to,
// somebody else. It says whether the VM runs already, so that there is nothing to
// refuse.
func (b *Backend) guardStart(ctx context.Context, ref inventory.VMRef) (seen, freedom, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return seen{}, freedom{}, err
	}
	free := freedom{until: time.Now().Add(configsLast)}
	if hasCards(found) {
		free, err = b.guard(ctx, *found.vm.Record, func(known mappings) ([]pci.CardRef, error) { return cardsToTake(found, known) })
	} else {
		free.up, err = b.running(ctx, ref)
	}
	return found, free, errorUnless(free.up, err)
}

// sameStill proves the VM again at the last moment, as its number is all that a
// start takes. It gives a Wait when all has to be looked at anew.
func (b *Backend) sameStill(ctx context.Context, ref inventory.VMRef, found seen, free freedom) (*hypervisor.Wait, error) {
	again, err := b.prove(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case again.config.Digest != found.config.Digest:
		return second(), nil
	case !free.good():
		return tooSlow(ref.Host), nil
	}
	return nil, nil
}

func hasCards(found seen) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(found.next)), func(key string) bool { return strings.HasPrefix(key, "hostpci") })
}

// cardsToTake are the cards that a VM takes when it starts.
func cardsToTake(found seen, known mappings) ([]pci.CardRef, error) {
	var cards []pci.CardRef
	host := found.vm.Record.Host
	for _, a := range attachments(found.config, host, known) {
		if len(a.Cards) != 1 {
			return nil, &fault.Error{
				Kind: fault.Refused, Doing: "find out which card the VM would take",
				Why: fmt.Sprintf("%s names mapping %q, which stands for %d cards on %s", a.Key, a.Mapping, len(a.Cards), host),
				Fix: "run gpuworker apply to attach the worker's own card",
			}
		}
		cards = append(cards, a.Cards[0])
	}
	return cards, nil
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

// How far a stop went, in the count of its memo.
const (
	guestAsked = iota + 1 // to shut down
	plugPulled
)

func (b *Backend) stop(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	kind, words := "qmshutdown", shutdownWords
	if m.Count == plugPulled {
		kind, words = "qmstop", stopWords
	}
	at, wait, taskErr := b.follow(ctx, ref, m, kind, words)
	if at == working {
		return wait, taskErr
	}
	running, err := b.running(ctx, ref)
	switch {
	case pve.KindOf(err) == pve.NotFound || err == nil && !running:
		return nil, nil
	case err != nil:
		return nil, err
	case taskErr != nil && (m.Count == plugPulled || unheard(taskErr)):
		return nil, taskErr
	case at == over && taskErr == nil && m.Task.Type == haStop && time.Since(m.Since) < haPatience:
		wait = m.underWay(words) // the HA manager does it later
		return wait, nil
	}
	if _, err := b.prove(ctx, ref); err != nil {
		return nil, err
	}
	refused := m.Count == guestAsked && m.Task.IsZero() && !m.Sent // by Proxmox: it cannot be asked
	if m.Count == plugPulled || at == over || refused {
		task, err := b.client.Stop(ctx, ref.Host, number(ref.ID))
		return b.orFind(ctx, ref, "qmstop", stopWords, plugPulled, task, err)
	}
	return b.askToStop(ctx, ref)
}

// askToStop asks the guest to shut down.
func (b *Backend) askToStop(ctx context.Context, ref inventory.VMRef) (*hypervisor.Wait, error) {
	task, err := b.client.Shutdown(ctx, ref.Host, number(ref.ID), pve.ShutdownOptions{Timeout: shutdownPatience, ForceStop: true})
	wait, err := b.orFind(ctx, ref, "qmshutdown", shutdownWords, guestAsked, task, err)
	if err != nil && !unheard(err) {
		return memo{Since: time.Now(), Count: guestAsked}.wait(stopWords, 0), nil
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
