package pvesim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"
)

// errClosed ends the tasks and requests that are running when the simulator is closed.
var errClosed = errors.New("the simulator was closed")

// Sim is a simulated Proxmox VE cluster. It is an http.Handler for all URLs of the
// API.
type Sim struct {
	ctx    context.Context
	cancel context.CancelFunc
	life   sync.Mutex // guards closed and adding to wg
	closed bool
	wg     sync.WaitGroup

	version string
	repoID  string
	major   int
	privs   []string // existing privileges
	// httpServer is the version of libpve-http-server-perl.
	httpServer release
	workers    int
	timings    Timings
	timeScale  float64
	logf       func(format string, args ...any)
	hooks      []func(Event)
	// guest answers the programs that the agent runs, instead of the simulated guest.
	guest        func(GuestCall) GuestResult
	agentSockets string
	secret       []byte // signs tickets
	started      time.Time

	mu       sync.Mutex
	streams  *streams
	calls    *router
	clusters string
	noStats  bool
	noDNS    bool
	hosts    map[string]*host
	hostList []string // in the order of the world
	storages map[string]*storage
	storeIDs []string
	vms      map[int]*vm
	mappings map[string]*mapping
	mapOrder []string
	tasks    []*task
	byUPID   map[string]*task
	access   *access
	pools    []*pool
	poolByVM map[int]*pool
	dc       Datacenter
	faults   []*fault
	locks    map[lockName]*heldLock
	// connections are those of real servers, by the peer's address.
	connections map[string]*connection
	freeWorkers map[string]chan struct{} // by host
	// alone is set while the answering host has no contact with the others.
	alone bool
	// listLag is the interval of the broadcasts; 0 for lists without delay.
	listLag    Duration
	lagChanges int
	broadcasts map[int]broadcast // the last of each VM
	damage     []Damage
	requests   []RequestRecord
	nextPID    int
	pending    []Event
	seq        int
}

// Option is an option of New.
type Option func(*Sim)

// WithTimeScale divides all durations: with 60, a minute takes a second.
func WithTimeScale(n float64) Option { return func(s *Sim) { s.timeScale = n } }

// WithLog sets a log for refused requests and the reasons, one line per call.
func WithLog(logf func(format string, args ...any)) Option {
	return func(s *Sim) { s.logf = logf }
}

// WithHook sets a function that is called after every change of the state, by the
// goroutine that made the change, before the answer to its request. Several calls may
// run concurrently. A hook may call State, Inject and the API itself.
func WithHook(hook func(Event)) Option {
	return func(s *Sim) { s.hooks = append(s.hooks, hook) }
}

// WithGuest sets a function that answers the commands that the agent runs in guests.
// It is for tests of the guest program with misbehaving guests.
func WithGuest(guest func(GuestCall) GuestResult) Option {
	return func(s *Sim) { s.guest = guest }
}

// New returns a simulator of a world. With testing/synctest, call it inside the bubble.
// Close it when done.
func New(world World, options ...Option) (*Sim, error) {
	if err := world.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sim{
		ctx: ctx, cancel: cancel,
		version: world.Version, repoID: cmp.Or(world.RepoID, sha1Hex(world.Version)[:8]), major: world.major(), privs: allPrivileges(world.major()), httpServer: world.httpServer(), workers: world.Workers, clusters: world.Cluster, noStats: world.NoStatistics, noDNS: world.NoDNS, agentSockets: world.AgentSockets,
		timings: DefaultTimings(), timeScale: 1, logf: log.Printf, started: time.Now(),
		streams: newStreams(world.Seed), dc: world.Datacenter,
		hosts: map[string]*host{}, storages: map[string]*storage{}, vms: map[int]*vm{}, mappings: map[string]*mapping{},
		byUPID: map[string]*task{}, poolByVM: map[int]*pool{}, locks: map[lockName]*heldLock{}, connections: map[string]*connection{}, freeWorkers: map[string]chan struct{}{}, broadcasts: map[int]broadcast{}, nextPID: 1000,
	}
	for _, option := range options {
		option(s)
	}
	if !(s.timeScale > 0) {
		cancel()
		return nil, fmt.Errorf("time scale %g: must be more than 0", s.timeScale)
	}
	if world.Timings != nil {
		s.timings = *world.Timings
	}
	s.secret = []byte(newUUID(s.streams.next("secret")))
	s.calls = routers[s.major]()
	s.access = newAccess(world)
	s.build(world)
	return s, nil
}

// Close ends all tasks and hanging requests and waits for them.
func (s *Sim) Close() {
	s.life.Lock()
	s.closed = true
	s.life.Unlock()
	s.cancel()
	s.wg.Wait()
}

// spawn runs f in a goroutine; it returns false when the simulator is closed.
func (s *Sim) spawn(f func()) bool {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// build fills the state from a world that has been validated.
func (s *Sim) build(world World) {
	for i, h := range world.Hosts {
		s.hosts[h.Name] = newHost(h, i, s.started)
		s.hostList = append(s.hostList, h.Name)
	}
	for _, st := range world.Storages {
		s.storages[st.Name] = newStorage(st, s.hostList, s.started)
		s.storeIDs = append(s.storeIDs, st.Name)
	}
	for _, p := range world.Pools {
		s.pools = append(s.pools, &pool{id: p.ID, comment: p.Comment})
	}
	for _, m := range world.Mappings {
		s.mappings[m.ID] = &mapping{id: m.ID, description: m.Description, entries: m.Map}
		s.mapOrder = append(s.mapOrder, m.ID)
	}
	for _, v := range world.VMs {
		s.buildVM(v)
	}
	for _, f := range world.Faults {
		s.faults = append(s.faults, newFault(f))
	}
	s.setListLag(world.ListLag)
	s.pending = nil
}

func (s *Sim) buildVM(v VM) {
	config, _ := v.config()
	r := s.streams.next("world vm %d", v.ID)
	completeConfig(config, r, s.started)
	m := newVM(v.ID, v.Host, config)
	m.guest, m.ha, m.socket = v.Guest, v.haResource(), v.AgentSocket
	s.vms[v.ID] = m
	s.joinPool(v.Pool, v.ID)
	for key, value := range config {
		if isDrive(key) {
			s.adoptVolume(m, parseDrive(value))
		}
	}
	if v.Running {
		s.bootAtOnce(m, r)
	}
	s.setPending(m, v)
}

// setPending sets the changes that are pending for the VM's next start.
func (s *Sim) setPending(m *vm, v VM) {
	m.pending, _ = texts(v.Pending)
	for key, value := range m.pending {
		if isDrive(key) {
			s.adoptVolume(m, parseDrive(value))
		}
	}
	for _, key := range v.Deleting {
		m.deletes[key] = true
	}
}

// completeConfig adds the options that every VM has.
func completeConfig(config map[string]string, r *rand.Rand, now time.Time) {
	if config["smbios1"] == "" {
		config["smbios1"] = "uuid=" + newUUID(r)
	}
	if config["vmgenid"] == "" || config["vmgenid"] == "1" {
		config["vmgenid"] = newUUID(r)
	}
	if config["meta"] == "" {
		config["meta"] = fmt.Sprintf("creation-qemu=10.1.2,ctime=%d", now.Unix())
	}
	for i := range indexed["net"] + 1 {
		key := fmt.Sprint("net", i)
		if value, ok := config[key]; ok {
			config[key] = printNet(value, func() string { return newMAC(r) })
		}
	}
	if _, ok := config["boot"]; !ok {
		config["boot"] = defaultBoot(config)
	}
	if tags, ok := config["tags"]; ok {
		config["tags"] = normaliseTags(tags)
	}
}

// lock takes the simulator's lock. It is never held while anything waits.
func (s *Sim) lock() { s.mu.Lock() }

// unlock releases it and then calls the hooks for the changes.
func (s *Sim) unlock() {
	events := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, e := range events {
		for _, hook := range s.hooks {
			hook(e)
		}
	}
}

// poolForm is the form of a pool's id.
var poolForm = regexp.MustCompile(`^[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}$`)
