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

// rival wants the same card.
func rival() inventory.Record {
	r := gpuRecord()
	r.Worker, r.Pool, r.VM, r.UUID, r.By = "vision-1", "vision", "9102", "77777777-7777-4777-8777-777777777777", "eve@elsewhere"
	return r
}

// says is what the register of the card says; "" when there is none.
func (l *bench) says() string {
	l.Helper()
	mapping, err := l.root.Mapping(l.Context(), register)
	if pve.KindOf(err) == pve.NotFound {
		return ""
	}
	must(l.T, err)
	return mapping.Description
}

func (l *bench) saysOf(r inventory.Record) bool {
	note, taken := parseRecord(l.says())
	return taken && sameVM(note.Record, r) && !note.Has(wordReleasing)
}

// dying claims a card, and marks it as being released. Then its author dies, or is
// held up: the handle is what it would go on with.
func (l *bench) dying(r inventory.Record) *hypervisor.Wait {
	l.Helper()
	must(l.T, l.b.Claim(l.Context(), r, inventory.Record{}))
	wait := l.waiting(l.b.releasing(r, card3), "")
	if !strings.Contains(l.says(), wordReleasing) {
		l.Fatalf("the register says %q", l.says())
	}
	return wait
}

// TestAClaimDoesNotHoldUpOthersWhileItWaits: another worker's claim of another card
// goes through meanwhile.
func TestAClaimDoesNotHoldUpOthersWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		l.dying(gpuRecord())
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

// TestAClaimOfADeadReleaseIsTakenOverAfterAMinute in which it did not change. Its
// author may come back in between, and mark it anew.
func TestAClaimOfADeadReleaseIsTakenOverAfterAMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		after    time.Duration // the mark is made anew
		from, to time.Duration // it is taken over
	}{
		"it stays":             {0, tombstoneLease, tombstoneLease + 10*time.Second},
		"it changes meanwhile": {50 * time.Second, 50*time.Second + tombstoneLease, tombstoneLease + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				wait := l.dying(gpuRecord())
				began := time.Now()
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { l.waiting(l.another().releasing(gpuRecord(), card3), wait.Handle) })
				}
				must(t, l.b.Claim(t.Context(), rival(), inventory.Record{}))
				if took := time.Since(began); took < tt.from || took > tt.to || !l.saysOf(rival()) {
					t.Errorf("after %s the register says %q", took, l.says())
				}
				// The author wakes up, much too late.
				must(t, goOn(t.Context(), l.another().releasing(gpuRecord(), card3), wait.Handle))
				if !l.saysOf(rival()) {
					t.Errorf("the author woke up, and the register says %q", l.says())
				}
			})
		})
	}
}

// writes are the writes of claims since they were asked for last.
func (l *bench) writes() (writes []string) {
	for _, said := range l.wire.said {
		if strings.Contains(said, "/mapping/pci") && !strings.HasPrefix(said, "GET ") {
			writes = append(writes, strings.Fields(said)[0])
		}
	}
	l.wire.said, l.wire.at = nil, nil
	return writes
}

// TestAReleaseMarksAndRemoves, in two calls. A mark that became old meanwhile is made
// anew; so is one whose handle is lost, when a removal after it cannot be under way
// any more.
func TestAReleaseMarksAndRemoves(t *testing.T) {
	for name, tt := range map[string]struct {
		pause  time.Duration // after the mark
		lose   bool          // its handle
		writes []string
		least  time.Duration // before the removal
	}{
		"at once":           {0, false, []string{"PUT", "DELETE"}, 0},
		"just in time":      {burial - time.Second, false, []string{"PUT", "DELETE"}, 0},
		"too late":          {burial, false, []string{"PUT", "PUT", "DELETE"}, 0},
		"by another engine": {0, true, []string{"PUT", "PUT", "DELETE"}, requestLife},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				must(t, l.b.Claim(t.Context(), gpuRecord(), inventory.Record{}))
				l.writes()
				wait := l.waiting(l.b.releasing(gpuRecord(), card3), "")
				first := l.says()
				time.Sleep(tt.pause)
				if tt.lose {
					wait.Handle = ""
				}
				began := time.Now()
				must(t, goOn(t.Context(), l.b.releasing(gpuRecord(), card3), wait.Handle))
				if writes := l.writes(); !slices.Equal(writes, tt.writes) || l.says() != "" {
					t.Errorf("it wrote %v, want %v, and the register says %q", writes, tt.writes, l.says())
				}
				if took := time.Since(began); took < tt.least || took > tt.least+10*time.Second {
					t.Errorf("it took %s more", took)
				}
				must(t, l.b.Claim(t.Context(), gpuRecord(), inventory.Record{}))
				l.waiting(l.b.releasing(gpuRecord(), card3), "")
				if l.says() == first {
					t.Error("two marks are the same")
				}
			})
		})
	}
}

// lateRemoval is a network on which the answer to the first removal of a mapping is
// lost, and the removal carried out much later.
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

// TestALateRemovalTakesNobodyElsesClaim: the removal is on its way for half a minute,
// and as soon as the register is gone somebody else claims the card. Another removal
// sent meanwhile would be one too many.
func TestALateRemovalTakesNobodyElsesClaim(t *testing.T) {
	for name, dies := range map[string]bool{"its author goes on": false, "its author dies, and runs again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				wire := &lateRemoval{next: l.sim.Transport(), after: 28 * time.Second}
				b := openOver(t, wire, tokenOf(t, world(t), "gpuworker@pve!engine"))
				wait := l.dying(gpuRecord())
				wait = l.waiting(b.releasing(gpuRecord(), card3), wait.Handle)
				if dies {
					wait.Handle = ""
				}
				var group sync.WaitGroup
				group.Go(func() {
					for l.says() != "" {
						time.Sleep(100 * time.Millisecond)
					}
					must(t, l.b.Claim(t.Context(), rival(), inventory.Record{}))
				})
				must(t, goOn(t.Context(), b.releasing(gpuRecord(), card3), wait.Handle))
				wire.carried.Wait()
				group.Wait()
				time.Sleep(time.Minute)
				if !l.saysOf(rival()) || wire.removed != 1 {
					t.Errorf("the register says %q, after %d removals", l.says(), wire.removed)
				}
			})
		})
	}
}

// TestAHangingRequestHoldsUpNoOtherClaimForLong: writes of claims are made one after
// another, and who stands behind one that hangs says so and lets others work.
func TestAHangingRequestHoldsUpNoOtherClaimForLong(t *testing.T) {
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
