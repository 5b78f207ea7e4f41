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

// Guests that do not shut down within shutdownPatience are switched off. The guest
// agent is asked every agentEvery: each request blocks one of the host's three API
// workers for up to 3 s (PVE::QMPClient).
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
	state, wait, err := b.follow(ctx, ref, m, "qmstart", startWords)
	switch {
	case state == taskRunning:
		return wait, err
	case state == taskEnded && err == nil && m.Task.Type == haStart:
		return b.startedByHA(ctx, ref, m)
	case state == taskEnded:
		return nil, b.unlessRunning(ctx, ref, err)
	}
	c := queuedRequest{what: "starts on " + ref.Host, limit: hostStarts}
	if full := b.queues.full(c); full != nil {
		return full, nil
	}
	found, check, err := b.guardStart(ctx, ref)
	if err != nil || check.running {
		return nil, err
	}
	var changed error
	c.send = func(ctx context.Context) (task pve.Task, err error) {
		if wait, changed = b.proveUnchanged(ctx, ref, found, check); wait != nil || changed != nil {
			return pve.Task{}, nil
		}
		return b.client.Start(ctx, ref.Host, number(ref.ID), 0)
	}
	task, full, err := b.queues.take(ctx, c)
	switch {
	case full != nil:
		return full, nil
	case wait != nil || changed != nil:
		return wait, changed
	}
	wait, err = b.startedOrFound(ctx, ref, "qmstart", startWords, 0, task, err)
	return wait, b.unlessRunning(ctx, ref, err)
}

// A VM that is managed by HA is started and stopped by the HA manager: tasks of
// these types only request it. The manager acts some seconds later.
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

// unlessRunning returns err unless the VM runs: a start task can fail although
// QEMU runs.
func (b *Backend) unlessRunning(ctx context.Context, ref inventory.VMRef, err error) error {
	if err == nil {
		return nil
	}
	running, lookErr := b.running(ctx, ref)
	return errorUnless(lookErr == nil && running, err)
}

func errorUnless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// guardStart refuses to start a VM whose card is claimed for another worker or
// attached to another VM. A VM that already runs is never refused: see cardCheck.running.
func (b *Backend) guardStart(ctx context.Context, ref inventory.VMRef) (observedVM, cardCheck, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return observedVM{}, cardCheck{}, err
	}
	check := cardCheck{until: time.Now().Add(configsLast)}
	if hasCards(found) {
		check, err = b.guard(ctx, *found.vm.Record, func(known mappings) ([]pci.CardRef, error) { return cardsToTake(found, known) })
	} else {
		check.running, err = b.running(ctx, ref)
	}
	return found, check, errorUnless(check.running, err)
}

// proveUnchanged proves the VM's identity again just before the start, because a
// start request names only the VM number. It returns a Wait when the VM changed, or
// when the checks are too old: then the start begins from the beginning.
func (b *Backend) proveUnchanged(ctx context.Context, ref inventory.VMRef, found observedVM, check cardCheck) (*hypervisor.Wait, error) {
	again, err := b.prove(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case again.config.Digest != found.config.Digest:
		return waitAfterConflict(), nil
	case !check.valid():
		return tooSlow(ref.Host), nil
	}
	return nil, nil
}

func hasCards(found observedVM) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(found.next)), func(key string) bool { return strings.HasPrefix(key, "hostpci") })
}

// cardsToTake returns the cards that a VM takes when it starts.
func cardsToTake(found observedVM, known mappings) ([]pci.CardRef, error) {
	var cards []pci.CardRef
	host := found.vm.Record.Host
	for _, a := range attachments(found.config, host, known) {
		if len(a.Cards) != 1 {
			return nil, &fault.Error{
				Kind: fault.Refused, Doing: "find out which card the VM would take",
				Why: fmt.Sprintf("%s names mapping %q, which contains %d cards on %s", a.Key, a.Mapping, len(a.Cards), host),
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

// Progress of a stop, in memo.Count.
const (
	shutdownSent = iota + 1 // the guest was asked to shut down
	switchedOff             // Proxmox was asked to switch the VM off
)

func (b *Backend) stop(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	kind, words := "qmshutdown", shutdownWords
	if m.Count == switchedOff {
		kind, words = "qmstop", stopWords
	}
	state, wait, taskErr := b.follow(ctx, ref, m, kind, words)
	if state == taskRunning {
		return wait, taskErr
	}
	running, err := b.running(ctx, ref)
	switch {
	case pve.KindOf(err) == pve.NotFound || err == nil && !running:
		return nil, nil
	case err != nil:
		return nil, err
	case taskErr != nil && (m.Count == switchedOff || guestNotAsked(taskErr)):
		return nil, taskErr
	case state == taskEnded && taskErr == nil && m.Task.Type == haStop && time.Since(m.Since) < haPatience:
		wait = m.underWay(words) // the HA manager does it later
		return wait, nil
	}
	if _, err := b.prove(ctx, ref); err != nil {
		return nil, err
	}
	refused := m.Count == shutdownSent && m.Task.IsZero() && !m.Sent // Proxmox refused the shutdown request
	if m.Count == switchedOff || state == taskEnded || refused {
		task, err := b.client.Stop(ctx, ref.Host, number(ref.ID))
		return b.startedOrFound(ctx, ref, "qmstop", stopWords, switchedOff, task, err)
	}
	return b.askToStop(ctx, ref)
}

// askToStop asks the guest to shut down.
func (b *Backend) askToStop(ctx context.Context, ref inventory.VMRef) (*hypervisor.Wait, error) {
	task, err := b.client.Shutdown(ctx, ref.Host, number(ref.ID), pve.ShutdownOptions{Timeout: shutdownPatience, ForceStop: true})
	wait, err := b.startedOrFound(ctx, ref, "qmshutdown", shutdownWords, shutdownSent, task, err)
	if err != nil && !guestNotAsked(err) {
		return memo{Since: time.Now(), Count: shutdownSent}.wait(stopWords, 0), nil
	}
	return wait, err
}

// guestNotAsked reports whether an error means that the guest may not have been asked
// to shut down yet. Then the VM must not be switched off.
func guestNotAsked(err error) bool {
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
	case err == nil:
		return nil, recall(handle).wait("an address of the guest; its agent answers and reports none", agentEvery), nil
	case kind == pve.AgentUnavailable, kind == pve.Unavailable:
		return nil, recall(handle).wait("the guest agent", agentEvery), nil
	}
	return nil, nil, b.wrap(err, "ask the guest agent", place(ref))
}

// maxGuestAddresses limits the addresses that are kept of a guest. A KubeNode also
// has one for each pod interface; the first ones are those of its network cards.
const maxGuestAddresses = 16

// guestAddresses returns the addresses that the guest agent reports, without
// loopback and link-local ones. The guest is not trusted: text that is not an
// address is ignored, and so is everything beyond maxGuestAddresses.
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
