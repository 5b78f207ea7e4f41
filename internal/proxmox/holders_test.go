package proxmox

import (
	"context"
	"errors"
	"net/http"
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

// recorder is a network that delays requests and records them.
type recorder struct {
	next  http.RoundTripper
	takes func(said string) time.Duration

	mu   sync.Mutex
	said []string // "GET /nodes/pve1/qemu"
	at   []time.Time
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	said := request.Method + " " + strings.TrimPrefix(request.URL.Path, "/api2/json")
	r.mu.Lock()
	r.said, r.at = append(r.said, said), append(r.at, time.Now())
	r.mu.Unlock()
	if r.takes != nil {
		if err := pauseExactly(request.Context(), r.takes(said)); err != nil {
			return nil, err
		}
	}
	return r.next.RoundTrip(request)
}

func pauseExactly(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// times returns how often a request was sent, and forgets these requests.
func (r *recorder) times(said string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, one := range r.said {
		if one == said {
			n++
			r.said[i] = ""
		}
	}
	return n
}

// neighbour is a guarded worker with a foreign VM on the same host, just after an
// observation of the cluster. give attaches a card to that VM.
type neighbour struct {
	*testing.T
	b    driver
	root *pve.Client
	r    inventory.Record
	card inventory.Card
	wire *recorder
}

func withNeighbour(t *testing.T) *neighbour {
	t.Helper()
	b, root, r, card, wire := guardedOver(t)
	n := &neighbour{t, b, root, r, card, &recorder{next: wire.next}}
	wire.next = n.wire
	n.makeVM(300, "theirs")
	time.Sleep(time.Minute) // whatever was read is old
	n.look()
	return n
}

func (n *neighbour) look() {
	n.Helper()
	_, err := n.b.Observe(context.Background(), hypervisor.Scope{})
	must(n.T, err)
	n.wire.said, n.wire.at = nil, nil
}

func (n *neighbour) makeVM(vmid int, name string) {
	n.Helper()
	n.await(n.root.Clone(context.Background(), "pve1", 9000, pve.CloneOptions{NewID: vmid, Name: name}))
}

func (n *neighbour) await(task pve.Task, err error) {
	n.Helper()
	must(n.T, err)
	err = task.Wait(context.Background())
	must(n.T, err)
}

func (n *neighbour) give(vmid int) {
	n.Helper()
	give := pve.ConfigUpdate{Set: map[string]string{"machine": "q35", "hostpci3": "0000:03:00"}}
	must(n.T, n.root.UpdateConfig(context.Background(), "pve1", vmid, give))
}

func (n *neighbour) take(vmid int) {
	n.Helper()
	must(n.T, n.root.UpdateConfig(context.Background(), "pve1", vmid, pve.ConfigUpdate{Delete: []string{"hostpci3"}}))
}

func (n *neighbour) attach() error { return n.b.Attach(context.Background(), n.r, n.card) }
func (n *neighbour) start() error  { return n.b.Start(context.Background(), refOf(n.r)) }

const (
	readOf300  = "GET /nodes/pve1/qemu/300/pending"
	listOfHost = "GET /nodes/pve1/qemu"
)

// TestAnObservationServesAttachAndStartForAMinute counts the reads of a foreign VM:
// none shortly after an observation, one after a minute.
func TestAnObservationServesAttachAndStartForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		must(t, n.attach())
		if reads, lists := n.wire.times(readOf300), n.wire.times(listOfHost); reads != 0 || lists != 1 {
			t.Errorf("attach read the other VM %d times and the list %d times, want 0 and 1", reads, lists)
		}
		time.Sleep(time.Minute + time.Second)
		must(t, n.start())
		if reads, lists := n.wire.times(readOf300), n.wire.times(listOfHost); reads != 1 || lists != 1 {
			t.Errorf("start read the other VM %d times and the list %d times, want 1 and 1", reads, lists)
		}
	})
}

// TestAReadIsNotTooOldAtTheWrite: proving our own VM takes so long that the minute is
// over before the write.
func TestAReadIsNotTooOldAtTheWrite(t *testing.T) {
	for what, write := range map[string]string{"attach": "PUT /nodes/pve1/qemu/9101/config", "start": "POST /nodes/pve1/qemu/9101/status/start"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := withNeighbour(t)
				do, since := n.attach, 45*time.Second // since the look
				if what == "start" {
					must(t, n.attach())
					do, since = n.start, 35*time.Second // it proves the VM twice
				}
				n.look()
				n.wire.takes = func(said string) time.Duration {
					if said == "GET /nodes/pve1/qemu/9101/pending" {
						return 10 * time.Second
					}
					return 0
				}
				time.Sleep(since)
				looked := time.Now().Add(-since)
				must(t, do())
				for i, said := range n.wire.said {
					if said == readOf300 {
						looked = n.wire.at[i]
					}
					if age := n.wire.at[i].Sub(looked); said == write && age > time.Minute {
						t.Errorf("what was read of the other VM was %s old at the write", age)
					}
				}
				if n.wire.times(readOf300) == 0 {
					t.Error("the other VM was not read again")
				}
			})
		})
	}
}

// TestAVMOfOursIsReadAgain attaches the card by hand to another worker, whose record
// names another card.
func TestAVMOfOursIsReadAgain(t *testing.T) {
	for what, do := range map[string]func(*neighbour) error{"attach": (*neighbour).attach, "start": (*neighbour).start} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := withNeighbour(t)
				other := n.r
				other.Worker, other.VM, other.Card, other.UUID = "theirs", "300", pci.MustCardRef("pve1/0000:41:00.0"), "0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a11"
				must(t, n.root.UpdateConfig(context.Background(), "pve1", 300, pve.ConfigUpdate{Set: map[string]string{"description": note(other, "")}}))
				if what == "start" {
					must(t, n.attach())
				}
				n.look()
				n.give(300)
				time.Sleep(oursLast + time.Second)
				refused(t, what, do(n))
			})
		})
	}
}

// TestANewVMIsReadAtOnce: the card is in a VM that is newer than the last observation,
// or that is another VM with the same number.
func TestANewVMIsReadAtOnce(t *testing.T) {
	ctx := context.Background()
	for name, hand := range map[string]func(n *neighbour){
		"a new number": func(n *neighbour) { n.makeVM(301, "new"); n.give(301) },
		"another name": func(n *neighbour) {
			n.await(n.root.Destroy(ctx, "pve1", 300, pve.DestroyOptions{}))
			n.makeVM(300, "other")
			n.give(300)
		},
		"started since": func(n *neighbour) {
			must(n.T, n.root.UpdateConfig(ctx, "pve1", 300, pve.ConfigUpdate{Set: map[string]string{"machine": "q35", "hostpci3": "mapping=gpu-pve1-0000-03-00"}}))
			n.await(n.root.Start(ctx, "pve1", 300, 0))
		},
	} {
		for what, do := range map[string]func(*neighbour) error{"attach": (*neighbour).attach, "start": (*neighbour).start} {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := withNeighbour(t)
					if what == "start" {
						must(t, n.attach())
					}
					hand(n)
					refused(t, what, do(n))
				})
			})
		}
	}
}

// TestAVMThatWasStoppedIsReadAtOnce: it ran when it was listed last.
func TestAVMThatWasStoppedIsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		ctx := context.Background()
		n.await(n.root.Start(ctx, "pve1", 300, 0))
		time.Sleep(time.Minute)
		n.look()
		must(t, n.attach())
		n.await(n.root.Stop(ctx, "pve1", 300))
		n.give(300)
		refused(t, "start", n.start())
	})
}

// TestTheHostsOwnListIsUsed, because the cluster's list may be late.
func TestTheHostsOwnListIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		must(t, n.attach())
		must(t, n.start())
		if asked := n.wire.times("GET /cluster/resources"); asked > 0 {
			t.Errorf("the cluster's list was asked for %d times", asked)
		}
	})
}

// TestAVMWhoseRecordNamesTheCardIsReadEachTime: it may be given the card at any moment.
func TestAVMWhoseRecordNamesTheCardIsReadEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		other := gpuRecord()
		other.Worker, other.VM, other.UUID = "gpu-2", "300", "77777777-7777-4777-8777-777777777777"
		config, err := n.root.Pending(context.Background(), "pve1", 300)
		must(t, err)
		must(t, n.b.Adopt(context.Background(), inventory.VMRef{Host: "pve1", ID: "300", Name: "theirs", UUID: nextOptions(config).uuid()}, other))
		n.look()
		n.give(300)
		refused(t, "attach", n.attach())
		n.take(300)
		must(t, n.attach())
		if n.wire.times(readOf300) < 2 {
			t.Error("it was not read each time")
		}
		n.give(300)
		refused(t, "start", n.start())
	})
}

// TestAChangedMappingIsKnown: the other VM uses a mapping that is changed to the card
// after the VM was read.
func TestAChangedMappingIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		ctx := context.Background()
		entry := []string{"node=pve1,path=0000:04:00.0,id=10de:1eb8"}
		must(t, n.root.CreateMapping(ctx, pve.MappingSpec{ID: "theirs", Map: entry}))
		must(t, n.root.UpdateConfig(ctx, "pve1", 300, pve.ConfigUpdate{Set: map[string]string{"machine": "q35", "hostpci0": "mapping=theirs"}}))
		n.look()
		must(t, n.root.UpdateMapping(ctx, pve.MappingUpdate{ID: "theirs", Map: []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8"}}))
		refused(t, "attach", n.attach())
	})
}

// TestWorkersOfAHostShareItsReads starts eight checks at once when the reads are old:
// the first one reads for itself, the second one for all others.
func TestWorkersOfAHostShareItsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		time.Sleep(2 * time.Minute)
		n.wire.takes = func(string) time.Duration { return 10 * time.Millisecond }
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				only := func(mappings) ([]pci.CardRef, error) { return []pci.CardRef{n.card.Ref}, nil }
				if _, err := n.b.guard(t.Context(), n.r, only); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if reads := n.wire.times(readOf300); reads != 1 {
			t.Errorf("the other VM was read %d times", reads)
		}
		if lists := n.wire.times(listOfHost); lists < 1 || lists > 2 {
			t.Errorf("the list was read %d times", lists)
		}
		if lists := n.wire.times("GET /cluster/mapping/pci"); lists < 2 || lists > 6 {
			t.Errorf("the mappings were read %d times", lists)
		}
	})
}

// TestAReadThatBeganBeforeAWriteIsDiscarded, whenever its answer comes.
func TestAReadThatBeganBeforeAWriteIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := withNeighbour(t)
		view := n.b.cache("pve1")
		config, err := n.root.Pending(context.Background(), "pve1", 9101)
		must(t, err)
		late := view.begin()
		must(t, n.attach())
		view.remember(9101, late, observedVM{config: config, next: nextOptions(config)})
		if h, known := view.vms[9101]; known && len(h.cards) == 0 {
			t.Error("our own attach is not seen")
		}
	})
}

// TestASharedReadEndsWithItsCallersContext: a caller that gives up returns at once. If
// it was the reader, another caller reads.
func TestASharedReadEndsWithItsCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := newShared[int]()
		slow := func(ctx context.Context) (int, error) { return 7, pauseExactly(ctx, 10*time.Second) }
		first, endFirst := context.WithTimeout(t.Context(), 3*time.Second)
		defer endFirst()
		second, endSecond := context.WithTimeout(t.Context(), time.Second)
		defer endSecond()
		began := time.Now()
		ask := func(ctx context.Context, want error, after time.Duration) func() {
			return func() {
				_, err := reads.get(ctx, slow)
				if took := time.Since(began); !errors.Is(err, want) || took != after {
					t.Errorf("%v after %v, want %v after %v", err, took, want, after)
				}
			}
		}
		var group sync.WaitGroup
		group.Go(ask(first, context.DeadlineExceeded, 3*time.Second))
		synctest.Wait()
		group.Go(ask(second, context.DeadlineExceeded, time.Second))
		group.Go(ask(t.Context(), nil, 13*time.Second))
		group.Go(ask(t.Context(), nil, 13*time.Second))
		group.Wait()
	})
}
