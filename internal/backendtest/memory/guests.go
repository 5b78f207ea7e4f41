package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/backendtest"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// The seed of a VM is a value of its configuration, and the channel to its guest are
// values that both can read and write, as on vSphere. So a seed is set by one write.

// maxValue is the size of the largest value in bytes, and so of a file in a guest.
const maxValue = 32 << 10

// commandTime is how long each command in a guest takes.
const commandTime = time.Second

var (
	errSilent  = hypervisor.ByGuest(answer(fault.Unavailable, "the guest does not answer", "look at the guest's console whether it boots"))
	errForbids = hypervisor.ByGuest(answer(fault.Denied, "the guest forbids it", "allow it in the guest's tools"))
	errNoFile  = answer(fault.NotFound, "the guest has no such file", again)
	errTooLong = answer(fault.Invalid, fmt.Sprintf("a value has at most %d bytes", maxValue), "write it in pieces")
	errRuns    = answer(fault.Refused, "the VM is running", "gpuworker park stops the worker")
)

// SetSeed implements hypervisor.Seeder.
func (b *Backend) SetSeed(ctx context.Context, ref inventory.VMRef, seed hypervisor.Seed, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	state := inventory.FirstSeed
	if seed.Clean {
		state = inventory.CleanSeed
	}
	wait, err := b.seed(ctx, ref, func(found seen) (image []byte, to inventory.SeedState, err error) {
		if found.running && !seed.Clean && !(found.seed == state && bytes.Equal(found.image, seed.Image)) {
			return nil, "", errRuns
		}
		return seed.Image, state, nil
	})
	return wait, b.wrap(err, "set the seed", ref)
}

// RemoveSeeds implements hypervisor.Seeder. A value cannot be removed, so it is
// overwritten.
func (b *Backend) RemoveSeeds(ctx context.Context, ref inventory.VMRef, blank []byte, _ hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.seed(ctx, ref, func(found seen) (image []byte, to inventory.SeedState, err error) {
		switch {
		case found.running:
			return nil, "", errRuns
		case found.seed == inventory.NoSeed:
			return nil, inventory.NoSeed, nil
		}
		return blank, found.seed, nil
	})
	return orGone(wait, b.wrap(err, "remove the seed", ref))
}

// seed writes the seed that choose returns for the VM, unless the VM has it.
func (b *Backend) seed(ctx context.Context, ref inventory.VMRef, choose func(seen) ([]byte, inventory.SeedState, error)) (*hypervisor.Wait, error) {
	found, err := b.prove(ctx, ref)
	if err != nil {
		return nil, err
	}
	image, state, err := choose(found)
	if err != nil || found.seed == state && bytes.Equal(found.image, image) {
		return nil, err
	}
	return b.write(ctx, found, func(v *vm) { v.image, v.seed = bytes.Clone(image), state })
}

// seeds are the images of all VMs.
func seeds(all []seen) []inventory.SeedImage {
	var images []inventory.SeedImage
	for i := range all {
		if v := &all[i]; v.seed != inventory.NoSeed {
			images = append(images, inventory.SeedImage{
				Host: v.host, Volume: v.id + "/seed", UUID: v.uuid, Clean: v.seed == inventory.CleanSeed, Size: int64(len(v.image)),
			})
		}
	}
	return images
}

// guest returns a VM whose guest answers and allows calls.
func (c *Cluster) guest(id string) (*vm, error) {
	v := c.vms[id]
	switch {
	case v == nil:
		return nil, errGone
	case !v.running, time.Since(v.started) < guestTime, v.reacts == backendtest.GuestSilent:
		return nil, errSilent
	case v.reacts == backendtest.GuestForbids:
		return nil, errForbids
	case v.files == nil:
		v.files = map[string][]byte{}
	}
	return v, nil
}

// ReadGuest implements hypervisor.Guests.
func (b *Backend) ReadGuest(ctx context.Context, ref inventory.VMRef, path string, limit int) ([]byte, error) {
	content, err := request(ctx, b, false, func(c *Cluster) ([]byte, error) {
		v, err := c.guest(ref.ID)
		if err != nil {
			return nil, err
		}
		content, there := v.files[path]
		if !there {
			return nil, errNoFile
		}
		return bytes.Clone(content[:min(len(content), limit)]), nil
	})
	return content, b.wrap(err, "read a file in the guest", ref)
}

// WriteGuest implements hypervisor.Guests.
func (b *Backend) WriteGuest(ctx context.Context, ref inventory.VMRef, path string, content []byte) error {
	const doing = "write a file in the guest"
	if _, err := b.prove(ctx, ref); err != nil {
		return b.wrap(err, doing, ref)
	}
	_, err := request(ctx, b, true, func(c *Cluster) (none, error) {
		v, err := c.guest(ref.ID)
		switch {
		case err != nil:
			return none{}, err
		case len(content) > maxValue:
			return none{}, errTooLong
		}
		v.files[path] = bytes.Clone(content)
		return none{}, nil
	})
	return b.wrap(err, doing, ref)
}

// command is a command that runs in a guest.
type command struct {
	until  time.Time
	result hypervisor.GuestResult
}

// RunInGuest implements hypervisor.Guests. The result may be read more than once.
func (b *Backend) RunInGuest(ctx context.Context, ref inventory.VMRef, words []string, handle hypervisor.Handle) (*hypervisor.GuestResult, *hypervisor.Wait, error) {
	const doing, what = "run a command in the guest", "the command in the guest"
	m := recall(handle)
	if m.Task == "" {
		id, err := b.startInGuest(ctx, ref, words)
		if errors.Is(err, errLost) {
			return nil, b.second(), nil
		}
		if err != nil {
			return nil, nil, b.wrap(err, doing, ref)
		}
		return nil, memo{Task: id}.wait(what, taskEvery), nil
	}
	run, err := request(ctx, b, false, func(c *Cluster) (*command, error) {
		if _, err := c.guest(ref.ID); err != nil {
			return nil, err
		}
		return c.commands[m.Task], nil
	})
	switch {
	case err != nil:
		return nil, nil, b.wrap(err, doing, ref)
	case run == nil:
		return nil, &hypervisor.Wait{For: what, CallAfter: taskEvery}, nil
	case time.Now().Before(run.until):
		return nil, m.wait(what, taskEvery), nil
	}
	result := run.result
	return &result, nil, nil
}

func (b *Backend) startInGuest(ctx context.Context, ref inventory.VMRef, words []string) (id string, err error) {
	if _, err := b.prove(ctx, ref); err != nil {
		return "", err
	}
	return request(ctx, b, true, func(c *Cluster) (string, error) {
		v, err := c.guest(ref.ID)
		if err != nil {
			return "", err
		}
		id := c.newID("command")
		c.commands[id] = &command{time.Now().Add(commandTime), v.run(words)}
		return id, nil
	})
}

// run is the result of a command; a guest knows only some.
func (v *vm) run(words []string) (result hypervisor.GuestResult) {
	switch words[0] {
	case "true":
	case "false":
		result.ExitCode = 1
	case "cat":
		for _, file := range words[1:] {
			content, there := v.files[file]
			if !there {
				result.ExitCode, result.Err = 1, result.Err+"cat: "+file+": No such file or directory\n"
			}
			result.Out += string(content)
		}
	default:
		result.ExitCode, result.Err = 127, strings.Join(words, " ")+": not found\n"
	}
	return result
}

// Guest changes how the guest of a VM reacts.
func (c *Cluster) Guest(id string, how backendtest.GuestReaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vms[id].reacts = how
}

// Seeds are the images of a VM's seeds.
func (c *Cluster) Seeds(ref inventory.VMRef) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.vms[ref.ID]; v != nil && v.seed != inventory.NoSeed {
		return [][]byte{bytes.Clone(v.image)}
	}
	return nil
}
