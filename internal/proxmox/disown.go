package proxmox

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Disown implements hypervisor.Marker. The claim is removed first: until the last
// write the VM is provably ours, so that the same command continues after a crash.
func (b *Backend) Disown(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.disown(ctx, ref, recall(handle))
	return wait, b.wrap(err, "disown the VM", place(ref))
}

func (b *Backend) disown(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	found, err := b.read(ctx, ref.Host, number(ref.ID), nil)
	if err != nil {
		return nil, err
	}
	ownership, _ := found.vm.Ownership()
	if ownership == inventory.Foreign && found.vm.UUID == ref.UUID && found.vm.Name == ref.Name {
		return nil, nil
	}
	if found, err = b.prove(ctx, ref); err != nil {
		return nil, err
	}
	if card := found.vm.Record.Card; !card.IsZero() {
		if wait, done, err := b.removeClaim(ctx, found, registerName(card), m); !done {
			return wait, err
		}
	}
	return b.write(ctx, ref, found, withoutMarks(found))
}

// removeClaim removes the claim of a VM from a register. done is false as long as
// there is such a claim.
func (b *Backend) removeClaim(ctx context.Context, found observedVM, register string, m memo) (wait *hypervisor.Wait, done bool, err error) {
	wait, err = b.withClaimLock(ctx, m, func() (wait *hypervisor.Wait, err error) {
		wait, done, err = b.removeClaimLocked(ctx, found, register, m)
		return wait, err
	})
	return wait, done, err
}

// removeClaimLocked does the same while the claim lock is held. It keeps a mapping
// that the VM uses: without it the VM could not start.
func (b *Backend) removeClaimLocked(ctx context.Context, found observedVM, register string, m memo) (wait *hypervisor.Wait, done bool, err error) {
	mapping, err := b.client.Mapping(ctx, register)
	if pve.KindOf(err) == pve.NotFound {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	note, taken := parseRecord(mapping.Description)
	if !taken || note.Problem != "" || !sameVM(note.Record, *found.vm.Record) {
		return nil, true, nil
	}
	if slices.ContainsFunc(found.vm.Cards, func(a inventory.Attachment) bool { return a.Mapping == register }) {
		err = b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Digest: mapping.Digest, Map: mapping.Map, Description: note.Rest})
		wait, err = m.releaseResult(err)
	} else {
		wait, err = b.release(ctx, *found.vm.Record, register, m)
	}
	if wait == nil && err == nil {
		wait = callAgain()
	}
	return wait, false, err
}

// withoutMarks removes our marks from a VM. Tags and note text of other people
// stay; an option that would be empty is deleted.
func withoutMarks(found observedVM) pve.ConfigUpdate {
	tags := slices.DeleteFunc(slices.Clone(found.vm.Tags), func(tag string) bool {
		return tag == inventory.OwnerTag || tag == inventory.ParkedTag
	})
	was, _ := parseRecord(found.next["description"])
	rest := strings.TrimSpace(strings.Replace(was.Rest, introduction(was.Record), "", 1))
	update := pve.ConfigUpdate{Set: map[string]string{}}
	left := options{"tags": strings.Join(tags, ";"), "description": rest}
	for option, value := range left {
		if value == "" {
			update.Delete = append(update.Delete, option)
		} else {
			update.Set[option] = value
		}
	}
	return update
}
