package memory

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/backendtest"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// How long tasks take, and how long a guest boots until it answers.
const (
	cloneTime   = 30 * time.Second
	startTime   = 8 * time.Second
	stopTime    = 5 * time.Second
	destroyTime = 4 * time.Second
	guestTime   = 20 * time.Second
)

// The errors of the hypervisor.
var (
	errGone    = answer(fault.NotFound, "there is no such VM", "look with gpuworker status, then run the same command again")
	errChanged = answer(fault.Conflict, "the VM was changed since it was read", again)
	errTaken   = answer(fault.Exists, "another VM has that name", "rename that VM, or give the worker another name")
	errLocked  = answer(fault.Busy, "the VM is locked", again)
	errBusy    = answer(fault.Busy, "a task works on the VM", again)
	errPower   = answer(fault.Busy, "the VM is not in the power state for that", again)
	errInUse   = answer(fault.Exists, "a running VM has the card", "gpuworker gpus says who holds the card")
	errFailed  = answer(fault.Failed, "the task failed", "the message is the hypervisor's: fix that, then run the same command again")
)

const again = "run the same command again"

func answer(kind fault.Kind, why, fix string) error {
	return &fault.Error{Kind: kind, Why: why, Fix: fix}
}

// Cluster is the hypervisor itself. Names of VMs are unique in it.
type Cluster struct {
	mu       sync.Mutex
	hosts    []inventory.Host
	vms      map[string]*vm
	tasks    map[string]*task
	commands map[string]*command // in guests
	random   *rand.Rand
	fails    string // error text of the next task; "" when it succeeds
}

// vm is a VM or a template.
type vm struct {
	id, name, uuid, note, lock string
	tags                       []string
	template, running          bool

	host          string            // while it runs or is being started
	next, applied inventory.Machine // pending and running configuration
	started       time.Time
	version       int    // grows with each change, for compare-and-swap
	task          string // the running task

	seed   inventory.SeedState
	image  []byte            // of the seed
	files  map[string][]byte // in the guest
	reacts backendtest.GuestReaction
}

// cardOf is the card of a configuration; ok is false without one.
func cardOf(c inventory.Machine) (card pci.CardRef, ok bool) {
	if c.Card == nil {
		return pci.CardRef{}, false
	}
	return c.Card.Ref, true
}

// task is a task of the hypervisor.
type task struct {
	kind         string
	begun, until time.Time
	fails        string
	done, undone func() // called when it succeeds, and when it fails
	ended        bool
}

// NewCluster makes a hypervisor with hosts and no VMs. The seed is for its random
// choices.
func NewCluster(seed uint64, hosts ...inventory.Host) *Cluster {
	return &Cluster{hosts: hosts, vms: map[string]*vm{}, tasks: map[string]*task{}, commands: map[string]*command{}, random: rand.New(rand.NewPCG(seed, 0))}
}

// settle ends the tasks whose time has come, in the order of their ends.
func (c *Cluster) settle() {
	for {
		var due *task
		for _, t := range c.tasks {
			if !t.ended && !t.until.After(time.Now()) && (due == nil || t.until.Before(due.until)) {
				due = t
			}
		}
		if due == nil {
			return
		}
		due.ended = true
		if due.fails == "" {
			due.done()
		} else {
			due.undone()
		}
	}
}

// newID chooses an identifier for a VM or a task: "vm-7f3a".
func (c *Cluster) newID(kind string) string {
	for {
		id := fmt.Sprintf("%s-%04x", kind, c.random.IntN(1<<16))
		if c.vms[id] == nil && c.tasks[id] == nil && c.commands[id] == nil {
			return id
		}
	}
}

// begin begins a task on a VM.
func (c *Cluster) begin(kind string, on *vm, takes time.Duration, done, undone func()) string {
	id, now := c.newID("task"), time.Now()
	end := func(do func()) func() {
		return func() { on.task = ""; do() }
	}
	c.tasks[id] = &task{kind: kind, begun: now, until: now.Add(takes), fails: c.fails, done: end(done), undone: end(undone)}
	on.task, c.fails = id, ""
	return id
}

// free returns a VM without a running task.
func (c *Cluster) free(id string) (*vm, error) {
	v := c.vms[id]
	switch {
	case v == nil:
		return nil, errGone
	case v.lock != "":
		return nil, fmt.Errorf("%w (%s)", errLocked, v.lock)
	case v.task != "":
		return nil, fmt.Errorf("%w (%s)", errBusy, c.tasks[v.task].kind)
	}
	return v, nil
}

func (c *Cluster) named(name string) *vm {
	for _, v := range c.vms {
		if v.name == name {
			return v
		}
	}
	return nil
}

// clone begins a clone, which has its name, note, tags and UUID at once.
func (c *Cluster) clone(template string, as vm) (id, task string, err error) {
	from := c.vms[template]
	switch {
	case from == nil || !from.template:
		return "", "", errGone
	case c.named(as.name) != nil:
		return "", "", fmt.Errorf("%w: %s", errTaken, as.name)
	}
	as.id, as.next = c.newID("vm"), from.next
	c.vms[as.id] = &as
	task = c.begin("clone", &as, cloneTime, func() {}, func() { delete(c.vms, as.id) })
	return as.id, task, nil
}

// write changes a VM that still has this version.
func (c *Cluster) write(id string, version int, change func(*vm)) error {
	v := c.vms[id]
	switch {
	case v == nil:
		return errGone
	case v.version != version:
		return errChanged
	case v.lock != "":
		return fmt.Errorf("%w (%s)", errLocked, v.lock)
	case v.task != "" && c.tasks[v.task].kind != "start":
		return fmt.Errorf("%w (%s)", errBusy, c.tasks[v.task].kind)
	}
	next := *v
	change(&next)
	if other := c.named(next.name); other != nil && other != v {
		return fmt.Errorf("%w: %s", errTaken, next.name)
	}
	next.version++
	*v = next
	return nil
}

// start chooses a host, binds the card there, and begins to start the VM.
func (c *Cluster) start(id string) (string, error) {
	v, err := c.free(id)
	if err != nil {
		return "", err
	}
	if v.running || v.template {
		return "", errPower
	}
	host := c.hosts[c.random.IntN(len(c.hosts))].Name
	if card, ok := cardOf(v.next); ok {
		host = card.Host
		for _, other := range c.vms {
			if used, has := cardOf(other.applied); has && other.host != "" && used == card {
				return "", fmt.Errorf("%w: %s %q", errInUse, other.id, other.name)
			}
		}
	}
	v.host, v.applied = host, v.next
	return c.begin("start", v, startTime, func() { v.running, v.started = true, time.Now() }, func() { v.host = "" }), nil
}

func (c *Cluster) stop(id string) (string, error) {
	v, err := c.free(id)
	if err != nil {
		return "", err
	}
	if !v.running {
		return "", errPower
	}
	return c.begin("stop", v, stopTime, func() { v.running, v.host = false, "" }, func() {}), nil
}

// destroy compares no version: it needs only an identifier.
func (c *Cluster) destroy(id string) (string, error) {
	v, err := c.free(id)
	if err != nil {
		return "", err
	}
	if v.running || v.next.Protection {
		return "", errPower
	}
	return c.begin("destroy", v, destroyTime, func() { delete(c.vms, id) }, func() {}), nil
}

// list are the identifiers of all VMs and templates.
func (c *Cluster) list() []string { return slices.Sorted(maps.Keys(c.vms)) }
