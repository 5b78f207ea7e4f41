package proxmox

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

var (
	card3    = pci.MustCardRef("pve1/0000:03:00.0")
	card41   = pci.MustCardRef("pve1/0000:41:00.0")
	register = registerName(card3)
)

func (d driver) claiming(record, was inventory.Record) step {
	return func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Claim(ctx, refOf(record), record, was, h)
	}
}

func (d driver) releasing(held inventory.Record, card pci.CardRef) step {
	return func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Release(ctx, held, card, h)
	}
}

// rival is the record of another worker that claims the same card.
func rival() inventory.Record {
	r := gpuRecord()
	r.Worker, r.Pool, r.VM, r.UUID, r.By = "vision-1", "vision", "9102", "77777777-7777-4777-8777-777777777777", "eve@elsewhere"
	return r
}

// registerText returns the description of the card's register; "" when there is none.
func (l *bench) registerText() string {
	l.Helper()
	mapping, err := l.root.Mapping(l.Context(), register)
	if pve.KindOf(err) == pve.NotFound {
		return ""
	}
	must(l.T, err)
	return mapping.Description
}

func (l *bench) registerHolds(r inventory.Record) bool {
	note, taken := parseRecord(l.registerText())
	return taken && sameVM(note.Record, r) && !note.Has(wordReleasing)
}

// writeTombstone claims a card and writes the tombstone, as an engine that then dies or
// is delayed. The Wait has the handle with which that engine would continue.
func (l *bench) writeTombstone(r inventory.Record) *hypervisor.Wait {
	l.Helper()
	must(l.T, l.b.Claim(l.Context(), r, inventory.Record{}))
	wait := l.waiting(l.b.releasing(r, card3), "")
	if !strings.Contains(l.registerText(), wordReleasing) {
		l.Fatalf("the register says %q", l.registerText())
	}
	return wait
}

// TestAClaimDoesNotDelayOthersWhileItWaits: at the same time, another worker can claim
// another card.
func TestAClaimDoesNotDelayOthersWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		l.writeTombstone(gpuRecord())
		began := time.Now()
		l.waiting(l.b.claiming(rival(), inventory.Record{}), "") // there is a register
		wait := l.waiting(l.b.claiming(rival(), inventory.Record{}), memo{Count: 1}.handle())
		if took := time.Since(began); took > time.Second || !strings.Contains(wait.For, "gpu-1") {
			t.Errorf("after %s it waits for %s", took, wait.For)
		}
		other := rival()
		other.Card = card41
		must(t, l.b.Claim(t.Context(), other, inventory.Record{}))
		if took := time.Since(began); took > time.Second {
			t.Errorf("the claim of another card took %s", took)
		}
	})
}

// TestAnOldTombstoneIsTakenOverAfterAMinute without a change. Its author may come back
// before that and write a new tombstone.
func TestAnOldTombstoneIsTakenOverAfterAMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		after    time.Duration // when a new tombstone is written; 0: never
		from, to time.Duration // when the register is taken over
	}{
		"it stays":             {0, tombstoneLease, tombstoneLease + 10*time.Second},
		"it changes meanwhile": {50 * time.Second, 50*time.Second + tombstoneLease, tombstoneLease + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				wait := l.writeTombstone(gpuRecord())
				began := time.Now()
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { l.waiting(l.another().releasing(gpuRecord(), card3), wait.Handle) })
				}
				must(t, l.b.Claim(t.Context(), rival(), inventory.Record{}))
				if took := time.Since(began); took < tt.from || took > tt.to || !l.registerHolds(rival()) {
					t.Errorf("after %s the register says %q", took, l.registerText())
				}
				// The author wakes up, much too late.
				must(t, goOn(t.Context(), l.another().releasing(gpuRecord(), card3), wait.Handle))
				if !l.registerHolds(rival()) {
					t.Errorf("the author woke up, and the register says %q", l.registerText())
				}
			})
		})
	}
}

// writes returns the writes of mappings since the last call.
func (l *bench) writes() (writes []string) {
	for _, said := range l.wire.said {
		if strings.Contains(said, "/mapping/pci") && !strings.HasPrefix(said, "GET ") {
			writes = append(writes, strings.Fields(said)[0])
		}
	}
	l.wire.said, l.wire.at = nil, nil
	return writes
}

// TestAReleaseMarksAndRemoves in two calls. A tombstone that is too old is written
// again. So is one whose handle is lost, but only after the time that an earlier removal
// could still arrive.
func TestAReleaseMarksAndRemoves(t *testing.T) {
	for name, tt := range map[string]struct {
		pause  time.Duration // after the tombstone
		lose   bool          // the handle
		writes []string
		least  time.Duration // before the removal
	}{
		"at once":           {0, false, []string{"PUT", "DELETE"}, 0},
		"just in time":      {removeWithin - time.Second, false, []string{"PUT", "DELETE"}, 0},
		"too late":          {removeWithin, false, []string{"PUT", "PUT", "DELETE"}, 0},
		"by another engine": {0, true, []string{"PUT", "PUT", "DELETE"}, requestLife},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				must(t, l.b.Claim(t.Context(), gpuRecord(), inventory.Record{}))
				l.writes()
				wait := l.waiting(l.b.releasing(gpuRecord(), card3), "")
				first := l.registerText()
				time.Sleep(tt.pause)
				if tt.lose {
					wait.Handle = ""
				}
				began := time.Now()
				must(t, goOn(t.Context(), l.b.releasing(gpuRecord(), card3), wait.Handle))
				if writes := l.writes(); !slices.Equal(writes, tt.writes) || l.registerText() != "" {
					t.Errorf("it wrote %v, want %v, and the register says %q", writes, tt.writes, l.registerText())
				}
				if took := time.Since(began); took < tt.least || took > tt.least+10*time.Second {
					t.Errorf("it took %s more", took)
				}
				must(t, l.b.Claim(t.Context(), gpuRecord(), inventory.Record{}))
				l.waiting(l.b.releasing(gpuRecord(), card3), "")
				if l.registerText() == first {
					t.Error("two marks are the same")
				}
			})
		})
	}
}

// lateRemoval is a network that loses the answer to the first removal of a mapping,
// and carries the removal out much later.
type lateRemoval struct {
	next    http.RoundTripper
	after   time.Duration
	removed int
	carried sync.WaitGroup
}

func (l *lateRemoval) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodDelete {
		return l.next.RoundTrip(request)
	}
	if l.removed++; l.removed > 1 {
		return l.next.RoundTrip(request)
	}
	late := request.Clone(context.Background())
	l.carried.Go(func() {
		time.Sleep(l.after)
		if answer, err := l.next.RoundTrip(late); err == nil {
			_ = answer.Body.Close()
		}
	})
	return nil, http.ErrServerClosed
}

// TestALateRemovalDeletesNoOtherClaim: the removal arrives after half a minute, and
// then another worker claims the card at once. A second removal would delete that claim.
func TestALateRemovalDeletesNoOtherClaim(t *testing.T) {
	for name, dies := range map[string]bool{"its author goes on": false, "its author dies, and runs again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				wire := &lateRemoval{next: l.sim.Transport(), after: 28 * time.Second}
				b := openOver(t, wire, tokenOf(t, world(t), "gpuworker@pve!engine"))
				wait := l.writeTombstone(gpuRecord())
				wait = l.waiting(b.releasing(gpuRecord(), card3), wait.Handle)
				if dies {
					wait.Handle = ""
				}
				var group sync.WaitGroup
				group.Go(func() {
					for l.registerText() != "" {
						time.Sleep(100 * time.Millisecond)
					}
					must(t, l.b.Claim(t.Context(), rival(), inventory.Record{}))
				})
				must(t, goOn(t.Context(), b.releasing(gpuRecord(), card3), wait.Handle))
				wire.carried.Wait()
				group.Wait()
				time.Sleep(time.Minute)
				if !l.registerHolds(rival()) || wire.removed != 1 {
					t.Errorf("the register says %q, after %d removals", l.registerText(), wire.removed)
				}
			})
		})
	}
}

// TestAHangingRequestDelaysNoOtherClaimForLong: claims are written one after another.
// A call behind a hanging request returns a Wait, so that other work can be done.
func TestAHangingRequestDelaysNoOtherClaimForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		must(t, l.b.Claim(t.Context(), gpuRecord(), inventory.Record{}))
		l.wire.takes = func(said string) time.Duration {
			if strings.HasPrefix(said, "PUT /cluster/mapping/pci/") {
				return 30 * time.Second
			}
			return 0
		}
		var group sync.WaitGroup
		group.Go(func() { l.waiting(l.b.releasing(gpuRecord(), card3), "") })
		synctest.Wait()
		other := rival()
		other.Card = card41
		began := time.Now()
		wait := l.waiting(l.b.claiming(other, inventory.Record{}), "")
		if took := time.Since(began); took > 10*time.Second || wait.For == "" {
			t.Errorf("after %s it waits for %q", took, wait.For)
		}
		must(t, goOn(t.Context(), l.b.claiming(other, inventory.Record{}), wait.Handle))
		group.Wait()
	})
}
