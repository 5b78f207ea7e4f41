package proxmox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// Release implements hypervisor.Claimer.
func (b *Backend) Release(ctx context.Context, held inventory.Record, card pci.CardRef, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	where := fault.Place{Host: card.Host, Worker: held.Worker, Card: card.BDF()}
	m := recall(handle)
	wait, err := b.inTurn(ctx, m, func() (*hypervisor.Wait, error) { return b.release(ctx, held, registerName(card), m) })
	return wait, b.wrap(err, "release the card", where)
}

// release gives a register back: it takes our record out of one that a person made,
// and removes one of ours by two writes, the mark and the removal.
func (b *Backend) release(ctx context.Context, held inventory.Record, name string, m memo) (*hypervisor.Wait, error) {
	mapping, err := b.client.Mapping(ctx, name)
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	note, taken := parseRecord(mapping.Description)
	ours := m.Seen == fingerprint(mapping.Description)
	switch {
	case !taken || note.Problem != "" || !sameVM(note.Record, held):
		return nil, nil
	case !note.Has(wordMade):
		return m.releasedOr(b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Map: mapping.Map, Description: note.Rest}))
	case ours && time.Since(m.Since) < burial:
		return b.remove(ctx, name, m)
	case note.Has(wordReleasing) && !ours && b.watched.stayed(mapping) < requestLife:
		return m.wait("an earlier removal of the claim, which may be under way", tombstoneLook), nil
	}
	return b.tombstoneAndDelete(ctx, mapping, note, name, m)
}

// remove removes the register that the memo's mark is in. When nobody knows whether
// the removal arrived, no other one is sent before that has become sure: it could
// come after the first, and take away the claim that somebody made between the two.
func (b *Backend) remove(ctx context.Context, name string, m memo) (*hypervisor.Wait, error) {
	err := b.client.DeleteMapping(ctx, name)
	if ambiguous(err) {
		b.watched.anew(name)
		m = memo{}
	}
	return m.releasedOr(err)
}

// releasedOr is how a write of a release ended.
func (m memo) releasedOr(err error) (*hypervisor.Wait, error) {
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	return m.orSecond(err)
}

// tombstoneAndDelete marks our own register as being released. The mark is what makes the
// removal safe: from then on nobody else claims the card by this register until it
// is gone or the lease is over. It differs each time, so that the lease begins
// anew for all who wait.
func (b *Backend) tombstoneAndDelete(ctx context.Context, mapping pve.Mapping, note inventory.Note, name string, m memo) (*hypervisor.Wait, error) {
	flags := append(slices.DeleteFunc(note.Flags, ofRelease), wordReleasing, wordNonce+strconv.FormatUint(rand.Uint64(), 36))
	description := prependText(note.Rest, note.Record.Line(flags...))
	marked := memo{Since: time.Now(), Seen: fingerprint(description)}
	err := b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Map: mapping.Map, Description: description})
	switch {
	case err == nil:
		return marked.wait("", 0), nil
	case ambiguous(err):
		return marked.orSecond(err)
	}
	return m.orSecond(err)
}

// watches are the registers that are being released, by name: what they said, and
// since when they are seen to say so. Only the time of this program counts.
type watches struct {
	mu   sync.Mutex
	seen map[string]watch
}

type watch struct {
	description string
	since       time.Time
}

// stayed is for how long a register has been seen to say what it says now.
func (w *watches) stayed(now pve.Mapping) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, known := w.seen[now.ID]; !known || last.description != now.Description {
		w.seen[now.ID] = watch{now.Description, time.Now()}
	}
	return time.Since(w.seen[now.ID].since)
}

// anew begins the watch of a register anew.
func (w *watches) anew(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.seen, name)
}

func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
