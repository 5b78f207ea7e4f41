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
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// How long guests get. A guest that does not shut down is stopped; an agent
// that does not answer is not waited for any longer.
const (
	shutdownPatience = 3 * time.Minute
	agentPatience    = 5 * time.Minute
	// agentEvery keeps a start of many VMs from starving the API: each question
	// blocks one of three workers of the host for up to 3 s (PVE::QMPClient).
	agentEvery = 5 * time.Second
)

// Start implements apply.Power.
func (b *Backend) Start(ctx context.Context, ref inventory.VMRef) error {
	return b.wrap(b.start(ctx, ref), "start the VM", place(ref))
}

func (b *Backend) start(ctx context.Context, ref inventory.VMRef) error {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return err
	}
	if running, err := b.guardStart(ctx, ref, found); err != nil || running {
		return err
	}
	task, err := b.client.Start(ctx, ref.Host, ref.VMID, 0)
	if err = b.seeThrough(ctx, ref, "qmstart", task, err); err == nil || ctx.Err() != nil {
		return err
	}
	// A start can end in an error while QEMU runs: what counts is
	// what is there.
	if running, lookErr := b.running(ctx, ref); lookErr == nil && running {
		return nil
	}
	return err
}

// guardStart refuses to start a VM whose card is claimed for, or attached to,
// somebody else. It reports whether the VM runs already, so that there is nothing
// to refuse. The number is all that a start takes, so the proof of the VM is made
// again at the last moment.
func (b *Backend) guardStart(ctx context.Context, ref inventory.VMRef, found seen) (running bool, err error) {
	for range guardTries {
		free := freedom{until: time.Now().Add(configsLast)}
		if hasCards(found) {
			free, err = b.guard(ctx, *found.vm.Record, func(known mappings) ([]pci.Slot, error) { return cardsToTake(found, known) })
		} else {
			free.up, err = b.running(ctx, ref)
		}
		if free.up {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		again, err := b.prove(ctx, ref)
		if err != nil || free.good() && again.config.Digest == found.config.Digest {
			return false, err
		}
		found = again
	}
	return false, b.tooSlow(ref.Host)
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

func (b *Backend) running(ctx context.Context, ref inventory.VMRef) (bool, error) {
	status, err := b.client.VMStatus(ctx, ref.Host, ref.VMID)
	return status.Running(), err
}

// Stop implements apply.Power.
func (b *Backend) Stop(ctx context.Context, ref inventory.VMRef) error {
	return b.wrap(b.stop(ctx, ref), "stop the VM", place(ref))
}

func (b *Backend) stop(ctx context.Context, ref inventory.VMRef) error {
	running, err := b.running(ctx, ref)
	if pve.KindOf(err) == pve.NotFound {
		return nil
	}
	if err != nil || !running {
		return err
	}
	if _, err := b.prove(ctx, ref); err != nil {
		return err
	}
	task, err := b.client.Shutdown(ctx, ref.Host, ref.VMID, pve.ShutdownOptions{Timeout: shutdownPatience, ForceStop: true})
	if err = b.seeThrough(ctx, ref, "qmshutdown", task, err); ctx.Err() != nil {
		return err
	}
	if running, lookErr := b.running(ctx, ref); lookErr != nil || !running {
		return lookErr
	}
	if ambiguous(err) || pve.KindOf(err) == pve.Locked || pve.KindOf(err) == pve.Unavailable || pve.KindOf(err) == pve.NoQuorum {
		return err // the guest was not asked yet: that is no reason to pull the plug
	}
	if _, err := b.prove(ctx, ref); err != nil {
		return err
	}
	task, err = b.client.Stop(ctx, ref.Host, ref.VMID)
	if err == nil {
		_, err = task.Wait(ctx)
	}
	if running, lookErr := b.running(ctx, ref); lookErr == nil && !running {
		return nil
	}
	return err
}

// seeThrough waits for a task that was asked for. When nobody knows whether the
// request arrived, or the VM is locked, it looks whether such a task is under
// way, and waits for that.
func (b *Backend) seeThrough(ctx context.Context, ref inventory.VMRef, kind string, task pve.Task, err error) error {
	if err == nil {
		_, err = task.Wait(ctx)
	}
	if !ambiguous(err) && pve.KindOf(err) != pve.Locked {
		return err
	}
	under, lookErr := b.client.Tasks(ctx, ref.Host, pve.TaskFilter{Source: "active", VMID: ref.VMID, Type: kind})
	if lookErr != nil {
		return err
	}
	for _, info := range under {
		if info.Running() {
			_, err = b.client.Task(info.UPID).Wait(ctx)
			return err
		}
	}
	return err
}

// SetParked implements apply.Power.
func (b *Backend) SetParked(ctx context.Context, ref inventory.VMRef, parked bool) error {
	err := b.swapOurs(ctx, ref, func(found seen) pve.ConfigUpdate {
		if found.vm.Parked() == parked {
			return pve.ConfigUpdate{}
		}
		tags := slices.DeleteFunc(slices.Clone(found.vm.Tags), func(tag string) bool { return tag == inventory.ParkedTag })
		if parked {
			tags = append(tags, inventory.ParkedTag)
		}
		return pve.ConfigUpdate{Set: options{"tags": strings.Join(tags, ";")}}
	})
	return b.wrap(err, "set the parked tag", place(ref))
}

// AwaitAgent implements apply.Power.
func (b *Backend) AwaitAgent(ctx context.Context, ref inventory.VMRef) ([]string, error) {
	addresses, err := b.awaitAgent(ctx, ref)
	return addresses, b.wrap(err, "wait for the guest agent", place(ref))
}

func (b *Backend) awaitAgent(ctx context.Context, ref inventory.VMRef) ([]string, error) {
	for began := time.Now(); time.Since(began) < agentPatience; {
		addresses, err := b.guestAddresses(ctx, ref.Host, ref.VMID)
		if err == nil && len(addresses) > 0 {
			return addresses, nil
		}
		if kind := pve.KindOf(err); err != nil && kind != pve.AgentUnavailable && kind != pve.Unavailable {
			return nil, err
		}
		if err := pause(ctx, agentEvery); err != nil {
			return nil, err
		}
	}
	return nil, &fault.Error{
		Kind: fault.Unavailable, Doing: "wait for the guest agent", Where: place(ref),
		Why: fmt.Sprintf("it did not answer within %s; the VM runs", agentPatience),
		Fix: "look at the VM's console; the template needs qemu-guest-agent installed and enabled",
	}
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
