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
	wait, err := b.withClaimLock(ctx, m, func() (*hypervisor.Wait, error) { return b.release(ctx, held, registerName(card), m) })
	return wait, b.wrap(err, "release the card", where)
}

// release frees a register. It removes our record from a mapping that a person
// made. A mapping that we made is removed in two writes: the tombstone and the removal.
func (b *Backend) release(ctx context.Context, held inventory.Record, name string, m memo) (*hypervisor.Wait, error) {
	mapping, err := b.client.Mapping(ctx, name)
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	note, taken := parseRecord(mapping.Description)
	ours := m.Written == fingerprint(mapping.Description)
	switch {
	case !taken || note.Problem != "" || !sameVM(note.Record, held):
		return nil, nil
	case !note.Has(wordMade):
		return m.releaseResult(b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Map: mapping.Map, Description: note.Rest}))
	case ours && time.Since(m.Since) < removeWithin:
		return b.remove(ctx, name, m)
	case note.Has(wordReleasing) && !ours && b.watched.unchangedFor(mapping) < requestLife:
		return m.wait("an earlier removal of the claim, which may still arrive", tombstonePoll), nil
	}
	return b.tombstoneAndDelete(ctx, mapping, note, name, m)
}

// remove removes a register that has our tombstone. When it is unknown whether the
// removal arrived, another one is only sent after requestLife: it could delete a claim
// that was made after the first removal.
func (b *Backend) remove(ctx context.Context, name string, m memo) (*hypervisor.Wait, error) {
	err := b.client.DeleteMapping(ctx, name)
	if ambiguous(err) {
		b.watched.restart(name)
		m = memo{}
	}
	return m.releaseResult(err)
}

// releaseResult handles the result of a write of a release. A missing register is released.
func (m memo) releaseResult(err error) (*hypervisor.Wait, error) {
	if pve.KindOf(err) == pve.NotFound {
		return nil, nil
	}
	return m.retryIfUndecided(err)
}

// tombstoneAndDelete marks our own register as releasing; the next call removes it.
// The mark makes the removal safe: nobody else claims the card through this register
// until it is removed or the lease is over. The mark has a random word, so that each
// new mark starts the lease again for all who wait.
func (b *Backend) tombstoneAndDelete(ctx context.Context, mapping pve.Mapping, note inventory.Note, name string, m memo) (*hypervisor.Wait, error) {
	flags := append(slices.DeleteFunc(note.Flags, ofRelease), wordReleasing, wordNonce+strconv.FormatUint(rand.Uint64(), 36))
	description := joinText(note.Rest, note.Record.Line(flags...))
	marked := memo{Since: time.Now(), Written: fingerprint(description)}
	err := b.client.UpdateMapping(ctx, pve.MappingUpdate{ID: name, Digest: mapping.Digest, Map: mapping.Map, Description: description})
	switch {
	case err == nil:
		return marked.wait("", 0), nil
	case ambiguous(err):
		return marked.retryIfUndecided(err)
	}
	return m.retryIfUndecided(err)
}

// watches are the registers that are being released, by name: their description,
// and since when this program has seen it unchanged, by its own clock.
type watches struct {
	mu   sync.Mutex
	seen map[string]watch
}

type watch struct {
	description string
	since       time.Time
}

// unchangedFor returns for how long a register's description has been unchanged.
func (w *watches) unchangedFor(now pve.Mapping) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, known := w.seen[now.ID]; !known || last.description != now.Description {
		w.seen[now.ID] = watch{now.Description, time.Now()}
	}
	return time.Since(w.seen[now.ID].since)
}

// restart starts the watch of a register again.
func (w *watches) restart(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.seen, name)
}

func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
