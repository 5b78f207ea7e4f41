package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/hypervisor/vmclaim"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Wire handles one request to the hypervisor: it calls do, or loses the request, and
// returns an error when the answer is lost. write reports whether the request changes
// something.
type Wire func(write bool, do func() error) error

// Backend is one engine's connection to a Cluster.
type Backend struct {
	name    string // of the Hypervisor document
	cluster *Cluster
	wire    Wire
	chance  func() float64
}

var _ hypervisor.Backend = (*Backend)(nil)

// Open connects to the cluster. A nil wire loses nothing. chance returns numbers from 0
// to 1 for random pauses; nil is the default source.
func (c *Cluster) Open(name string, wire Wire, chance func() float64) *Backend {
	if wire == nil {
		wire = func(_ bool, do func() error) error { return do() }
	}
	if chance == nil {
		chance = rand.Float64
	}
	return &Backend{name: name, cluster: c, wire: wire, chance: chance}
}

// Capabilities implements hypervisor.Source.
func (b *Backend) Capabilities() inventory.Capabilities {
	return inventory.Capabilities{
		ChoosesIDs: true, HidesGroups: true, ClaimsInVM: true, BindsAtPowerOn: true, SeedISO: true, Guest: inventory.GuestInfo, GuestFile: maxValue,
		DefaultNetwork: "lan",
	}
}

// errLost is the error of a request that may or may not have arrived.
var errLost = answer(fault.Unavailable, "the hypervisor does not answer", "check that the hypervisor is up, then run the same command again")

// request sends one request.
func request[T any](ctx context.Context, b *Backend, write bool, do func(c *Cluster) (T, error)) (answer T, err error) {
	if ctx.Err() != nil {
		return answer, ctx.Err()
	}
	lost := b.wire(write, func() error {
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		b.cluster.settle()
		answer, err = do(b.cluster)
		return nil
	})
	if lost != nil {
		var nothing T
		return nothing, fmt.Errorf("%w: %w", errLost, lost)
	}
	return answer, err
}

// seen is a VM as one read showed it.
type seen struct {
	vm
	record inventory.Note // its note, read
	doing  string         // the kind of the task that works on it
}

func (b *Backend) read(ctx context.Context, id string) (seen, error) {
	return request(ctx, b, false, func(c *Cluster) (seen, error) {
		v := c.vms[id]
		if v == nil {
			return seen{}, errGone
		}
		found := seen{vm: *v}
		found.record, _ = inventory.ParseRecord(v.note)
		if v.task != "" {
			found.doing = c.tasks[v.task].kind
		}
		return found, nil
	})
}

// readAll reads all VMs one by one. It leaves out VMs that are removed meanwhile.
func (b *Backend) readAll(ctx context.Context) ([]seen, error) {
	ids, err := request(ctx, b, false, func(c *Cluster) ([]string, error) { return c.list(), nil })
	if err != nil {
		return nil, err
	}
	var all []seen
	for _, id := range ids {
		found, err := b.read(ctx, id)
		switch {
		case errors.Is(err, errGone):
		case err != nil:
			return nil, err
		default:
			all = append(all, found)
		}
	}
	return all, nil
}

// prove reads the VM of ref and proves that it is this VM and ours.
func (b *Backend) prove(ctx context.Context, ref inventory.VMRef) (seen, error) {
	found, err := b.read(ctx, ref.ID)
	if err != nil {
		return seen{}, err
	}
	vm := found.observed()
	ownership, why := vm.Ownership()
	switch {
	case ownership == inventory.Foreign:
		why = "it carries neither our tag nor our note"
	case ownership == inventory.Ours && found.uuid != ref.UUID:
		why = fmt.Sprintf("its UUID is %s, the worker's is %s", found.uuid, ref.UUID)
	case ownership == inventory.Ours && found.name != ref.Name:
		why = fmt.Sprintf("it is worker %q", found.name)
	case ownership == inventory.Ours:
		return found, nil
	}
	return seen{}, b.notOurs(ref, found.name, why)
}

func (b *Backend) notOurs(ref inventory.VMRef, name, why string) error {
	return &fault.Error{
		Kind: fault.Conflict, Doing: "prove that the VM is " + ref.Name, Where: fault.Place{Hypervisor: b.name, VM: ref.ID},
		Why: fmt.Sprintf("this is another VM now (%q): %s; it was not touched", name, why),
		Fix: "gpuworker plan shows where the worker is now; gpuworker adopt takes a VM over on purpose",
	}
}

// write changes a VM by compare-and-swap. When the VM has changed, or when it is not
// known whether the write arrived, it returns a Wait, and the next call reads again.
func (b *Backend) write(ctx context.Context, found seen, change func(*vm)) (*hypervisor.Wait, error) {
	_, err := request(ctx, b, true, func(c *Cluster) (none, error) { return none{}, c.write(found.id, found.version, change) })
	if errors.Is(err, errChanged) || errors.Is(err, errLost) {
		return b.second(), nil
	}
	return nil, err
}

type none struct{}

// second is the Wait after a write that came second, or may have done so.
func (b *Backend) second() *hypervisor.Wait {
	return &hypervisor.Wait{For: "another change of the VM", CallAfter: vmclaim.PauseFor(0, b.chance())}
}

// memo is the content of a Handle.
type memo struct {
	Task  string `json:"task,omitempty"`
	Tries int    `json:"tries,omitempty"` // how often another VM's claim was found
}

// recall parses a handle; an invalid one counts as lost.
func recall(handle hypervisor.Handle) memo {
	var m memo
	if json.Unmarshal([]byte(handle), &m) != nil {
		return memo{}
	}
	return m
}

func (m memo) wait(what string, again time.Duration) *hypervisor.Wait {
	text, err := json.Marshal(m)
	if err != nil {
		panic("memory: a memo is made of plain values: " + err.Error())
	}
	return &hypervisor.Wait{For: what, CallAfter: again, Handle: hypervisor.Handle(text), UnderWay: m.Task != ""}
}

const taskEvery = 2 * time.Second

// wrap adds to an error what was being done and where. nil and errors that have it
// already stay as they are.
func (b *Backend) wrap(err error, doing string, ref inventory.VMRef) error {
	var own *fault.Error
	if err == nil || errors.As(err, &own) && own.Doing != "" {
		return err
	}
	return &fault.Error{
		Kind: fault.KindOf(err), Doing: doing, Where: fault.Place{Hypervisor: b.name, VM: ref.ID, Worker: ref.Name}, Cause: err,
	}
}
