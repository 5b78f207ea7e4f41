package proxmox

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Disown implements hypervisor.Marker. The claim goes first: until the last write
// the VM is provably ours, so that the same command goes on after a crash.
func (b *Backend) Disown(ctx context.Context, ref inventory.VMRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.disown(ctx, ref, recall(handle))
	return wait, b.wrap(err, "let go of the VM", place(ref))
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
		if wait, done, err := b.unclaim(ctx, found, registerName(card), m); !done {
			return wait, err
		}
	}
	return b.write(ctx, ref, found, unmarked(found))
}

// unclaim takes the claim for a VM off a register, when it is our turn to write
// those. done is false as long as there is one.
func (b *Backend) unclaim(ctx context.Context, found seen, register string, m memo) (wait *hypervisor.Wait, done bool, err error) {
	wait, err = b.inTurn(ctx, m, func() (wait *hypervisor.Wait, err error) {
		wait, done, err = b.unclaimed(ctx, found, register, m)
		return wait, err
	})
	return wait, done, err
}

// unclaimed does it. The mapping stays when the VM names it: without it the VM would
// not start any more.
func (b *Backend) unclaimed(ctx context.Context, found seen, register string, m memo) (wait *hypervisor.Wait, done bool, err error) {
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
		wait, err = m.releasedOr(err)
	} else {
		wait, err = b.release(ctx, *found.vm.Record, register, m)
	}
	if wait == nil && err == nil {
		wait = onceMore()
	}
	return wait, false, err
}

// unmarked takes our marks off a VM. What people wrote into its note and their tags
// stay; an option that has nothing else in it goes.
func unmarked(found seen) pve.ConfigUpdate {
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
