package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// race is one run.
type race struct {
	t       *testing.T
	cluster *Cluster
	card    inventory.Card
	vms     []*wanting
	racers  []*racer

	mu      sync.Mutex
	random  *rand.Rand
	waiting []*turn // requests that wait until it is their turn
	late    []func() error
	ended   int
	yielded int      // claims that were withdrawn
	bursts  bool     // requests come in the order of engines, which changes now and then
	lowest  int      // rank of an engine
	told    []string // what happened, for a seed that fails
}

// wanting is a VM that is to get the card.
type wanting struct {
	record inventory.Record
	ref    inventory.VMRef
	up     bool // it claims the card
	has    bool // it has the card
	holds  bool // a call has said that the claim is held, and it stands since
	ghost  bool // a request of a dead engine arrives late
	shared bool // two engines work for it
}

// racer is an engine that works on getting the card for a VM.
type racer struct {
	*race
	*wanting

	rank  int // the higher, the sooner are its requests carried
	dead  bool
	err   error // how it ended
	won   bool  // its claim was done before that
	unfit bool  // somebody else changed the VM's claim during this call
}

// turn is a waiting request. Its fate comes over the channel.
type turn struct {
	of   *racer
	what string
	fate chan fate
}

// fate says what happens to a request.
type fate string

const (
	carried   fate = "carried"
	lost      fate = "lost"           // it never arrives
	unheard   fate = "unheard"        // its answer never arrives
	dead      fate = "killed"         // its engine dies, and it never arrives
	deadAfter fate = "killed after"   // it is carried out, and its engine dies
	deadLate  fate = "killed, delays" // its engine dies, and it arrives later
)

var fates = []fate{lost, unheard, dead, deadAfter, deadLate}

var errProcess = errors.New("the process is dead")

func newRace(t *testing.T, seed uint64, lineup []int) *race {
	r := &race{t: t, random: rand.New(rand.NewPCG(seed, 1)), cluster: NewCluster(seed, host("alpha")), bursts: seed/uint64(len(lineups))%2 == 0}
	r.card = inventory.Card{Ref: pci.MustCardRef("alpha/0000:03:00.0"), PCIe: true}
	for _, i := range lineup {
		if i == len(r.vms) {
			r.addVM(i)
		} else {
			r.vms[i].shared = true
		}
		r.racers = append(r.racers, &racer{race: r, wanting: r.vms[i]})
	}
	r.cluster.Make("bystander", "")
	return r
}

func (r *race) addVM(i int) {
	name := fmt.Sprintf("gpu-%c", 'a'+i)
	record := inventory.Record{
		WorkerKey: inventory.WorkerKey{Worker: name, Pool: "gpu", KubeCluster: "rke2"}, UUID: fmt.Sprintf("5e0f0000-0000-4000-8000-%012d", i),
		Host: "alpha", Card: r.card.Ref, By: name,
	}
	id := r.cluster.Make(name, "")
	v := r.cluster.vms[id]
	v.uuid, v.tags, v.note = record.UUID, []string{inventory.OwnerTag}, noteOf(inventory.Note{}, record)
	r.vms = append(r.vms, &wanting{record: record, ref: inventory.VMRef{ID: id, Name: name, UUID: record.UUID}})
}

// play runs all engines to their ends, one request at a time.
func (r *race) play() {
	for _, racer := range r.racers {
		go racer.run()
	}
	for {
		synctest.Wait()
		next, late, over := r.choose()
		switch {
		case over:
			return
		case late != nil:
			_ = late()
			r.judge("a request of a dead engine", nil)
		case next == nil:
			time.Sleep(100 * time.Millisecond)
		default:
			r.carry(next)
		}
	}
}

// choose chooses the next event.
func (r *race) choose() (next *turn, late func() error, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	chance := r.random.IntN(100)
	switch {
	case len(r.late) > 0 && (chance < 10 || r.ended == len(r.racers)):
		late, r.late = r.late[0], r.late[1:]
		return nil, late, false
	case r.ended == len(r.racers):
		return nil, nil, true
	case len(r.waiting) == 0 || chance > 90: // time passes
		return nil, nil, false
	}
	i := r.random.IntN(len(r.waiting))
	if r.bursts {
		i = r.first()
	}
	next = r.waiting[i]
	r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
	return next, nil, false
}

// first is the waiting request of the first engine. Sometimes that engine becomes the
// last, so that it is delayed between two requests while others go on.
func (r *race) first() (first int) {
	for i := range r.waiting {
		if r.waiting[i].of.rank > r.waiting[first].of.rank {
			first = i
		}
	}
	if r.random.IntN(12) == 0 {
		r.lowest--
		r.waiting[first].of.rank = r.lowest
		return r.first()
	}
	return first
}

// carry sends a request, usually with its answer.
func (r *race) carry(next *turn) {
	r.mu.Lock()
	f := carried
	if r.random.IntN(25) == 0 {
		f = fates[r.random.IntN(len(fates))]
	}
	r.told = append(r.told, fmt.Sprintf("%s %s: %s", next.of.record.Worker, next.what, f))
	r.mu.Unlock()
	next.fate <- f
}

// wire sends the requests of one engine, each in its turn.
func (r *racer) wire(write bool, do func() error) error {
	if r.dead {
		return errProcess
	}
	me := &turn{r, map[bool]string{false: "read", true: "write"}[write], make(chan fate)}
	r.mu.Lock()
	r.waiting = append(r.waiting, me)
	r.mu.Unlock()
	f := <-me.fate
	if f != carried && f != lost && f != unheard {
		r.dead = true
	}
	switch f {
	case carried, unheard, deadAfter:
		err := do()
		r.judge(me.what+" of "+r.record.Worker, r)
		if f == carried {
			return err
		}
	case deadLate:
		r.mu.Lock()
		r.late, r.ghost = append(r.late, do), true
		r.mu.Unlock()
	case lost, dead:
	}
	return errProcess
}

// note updates the state of VMs and engines.
func (r *race) note(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *race) chance() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.Float64()
}

// run runs an engine: it claims and attaches the card, and when it is killed, it is
// usually started again.
func (r *racer) run() {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended++
	}()
	for {
		time.Sleep(time.Duration(r.chance() * float64(200*time.Millisecond)))
		r.dead = false
		r.err = r.want(r.cluster.Open("lab", r.wire, r.chance))
		again := 0.7
		if !r.dead {
			again = 0.5 // whoever is not sure runs the same command again
		}
		if r.chance() > again {
			return
		}
	}
}

// want claims the card and attaches it.
func (r *racer) want(b *Backend) error {
	ctx := context.Background()
	r.won = false
	err := r.call(func(h hypervisor.Handle) (*hypervisor.Wait, error) {
		r.note(func() { r.unfit = false })
		wait, err := b.Claim(ctx, r.ref, r.record, inventory.Record{}, h)
		if wait == nil && err == nil {
			r.note(func() { r.holds = r.holds || r.up && !r.unfit })
			r.judge("the claim of "+r.record.Worker, r)
		}
		return wait, err
	})
	if err != nil {
		return err
	}
	r.won = true
	time.Sleep(time.Duration(r.chance() * float64(400*time.Millisecond)))
	return r.call(func(h hypervisor.Handle) (*hypervisor.Wait, error) {
		return b.Attach(ctx, r.ref, r.record, r.card, h)
	})
}

// call calls until the work is done. When an answer is lost, it calls again.
func (r *racer) call(do func(hypervisor.Handle) (*hypervisor.Wait, error)) error {
	var h hypervisor.Handle
	for range 1000 {
		wait, err := do(h)
		switch {
		case r.dead:
			return errProcess
		case fault.Is(err, fault.Unavailable):
			wait = &hypervisor.Wait{CallAfter: time.Second, Handle: h}
		case wait == nil || err != nil:
			return err
		}
		time.Sleep(wait.CallAfter)
		h = wait.Handle
	}
	return errors.New("it never ends")
}
