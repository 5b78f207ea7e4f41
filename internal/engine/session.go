package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Session works on pools that are declared one after the other, as Terraform declares its
// resources. All pools that were declared so far are planned together, from one shared
// observation of the hypervisor: so 500 resources need one observation, and two resources
// that want the same card are found. Its methods may be called by several goroutines.
type Session struct {
	engine     *Engine
	hypervisor v1alpha1.Hypervisor

	mu       sync.Mutex
	pools    []v1alpha1.WorkerPool
	index    map[PoolKey]int      // in pools
	declared int                  // how often a pool was declared or has changed
	changed  map[PoolKey]bool     // pools whose workers were changed since the observation began
	places   map[PoolKey][]string // hosts of the pools, as decided last
	awaited  map[string]int       // how many decisions wait for an observation of the host
	intents  map[PoolKey]intent   // of the pools that are worked on

	deciding chan struct{} // holds one token while seen and decided are used
	seen     *seen
	decided  *decided
}

// PoolKey identifies a pool on a hypervisor.
type PoolKey struct{ Pool, KubeCluster string }

// KeyOf returns the key of a pool.
func KeyOf(pool *v1alpha1.WorkerPool) PoolKey { return PoolKey{pool.Name, pool.Spec.KubeCluster} }

// ProblemsError is the error for a document that is not valid.
type ProblemsError struct{ Problems []v1alpha1.Problem }

// Error returns one line for each problem.
func (e *ProblemsError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Ages of observations.
const (
	// anyAge: to show what would be done. The pools that the session has changed are
	// observed again.
	anyAge = time.Duration(1<<63 - 1)
	// workAge is the maximum age of an observation that work begins from. Every step
	// proves again what it depends on.
	workAge = 30 * time.Second
	// gatherTime is how long a decision waits for pools that are declared at the same time.
	gatherTime = 20 * time.Millisecond
	// newVMs is how many free identifiers are asked for at least.
	newVMs = 1024
)

// NewSession makes a session for one hypervisor. The document has its defaults set.
func (e *Engine) NewSession(document *v1alpha1.Hypervisor) *Session {
	return &Session{
		engine: e, hypervisor: *document, index: map[PoolKey]int{}, changed: map[PoolKey]bool{}, awaited: map[string]int{}, intents: map[PoolKey]intent{}, deciding: make(chan struct{}, 1),
	}
}

// Declare adds a pool to the session, or replaces the pool with the same key. It sets
// defaults and spec.hypervisor. The caller must not use the pool any more.
func (s *Session) Declare(pool *v1alpha1.WorkerPool) PoolKey {
	one := v1alpha1.Documents{WorkerPools: []v1alpha1.WorkerPool{*pool}}
	one.WorkerPools[0].Spec.Hypervisor = s.hypervisor.Name
	v1alpha1.SetDefaults(&one)
	key := KeyOf(pool)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, known := s.index[key]; known {
		s.pools[at] = one.WorkerPools[0]
	} else {
		s.index[key] = len(s.pools)
		s.pools = append(s.pools, one.WorkerPools[0])
	}
	s.declared++
	return key
}

// Decide declares a pool and returns what is to be done for its workers. It changes
// nothing. allowRestart says whether running semi-persistent workers may be stopped and
// started. A document that is not valid is a ProblemsError.
func (s *Session) Decide(ctx context.Context, pool *v1alpha1.WorkerPool, allowRestart bool) (Decision, error) {
	return s.decide(ctx, s.Declare(pool), allowRestart, anyAge)
}

// Apply declares a pool and does what is decided for its workers. accept decides whether
// this may be done: its error is returned, and nothing is done. It may be called twice:
// if it returns an error for an older observation, the hypervisor is observed again.
func (s *Session) Apply(ctx context.Context, pool *v1alpha1.WorkerPool, allowRestart bool, accept func(Decision) error, options ApplyOptions) (Decision, []apply.Outcome, error) {
	key := s.Declare(pool)
	began := time.Now()
	d, err := s.decide(ctx, key, allowRestart, workAge)
	if err == nil {
		err = accept(d)
	}
	if err != nil && d.all != nil && !d.all.seen.whole.After(began) {
		s.withdraw(key)
		s.startAgain(key)
		if d, err = s.decide(ctx, key, allowRestart, time.Since(began)); err == nil {
			err = accept(d)
		}
	}
	if err != nil {
		s.withdraw(key)
		return d, nil, err
	}
	defer s.workEnded(key)
	defer s.markChanged(key)()
	todo := *d.plan
	todo.Pools = slices.DeleteFunc(slices.Clone(todo.Pools), func(p plan.Pool) bool { return PoolKey{p.Name, p.KubeCluster} != key })
	plans := Plans{Request: applyRequest(allowRestart), Documents: document.List{Documents: d.all.documents}, Plans: []*plan.Plan{&todo}}
	result, err := s.engine.applyOne(ctx, plans, &todo, &todo, options)
	return d, result.Outcomes, withFailures(err, result)
}

// startAgain makes the next decision for a pool observe everything: perhaps its workers
// must be on other hosts now.
func (s *Session) startAgain(key PoolKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.places, key)
}

// Work carries out a request that names workers: delete, replace, park or unpark. Their
// pools must have been declared. accept decides whether the plans may be carried out.
// progress is called for each event, one at a time; may be nil.
func (s *Session) Work(ctx context.Context, request plan.Request, accept func(Plans) error, progress func(apply.Event)) (Applied, error) {
	documents := s.documents()
	plans, err := s.engine.Plan(ctx, documents, request)
	if err == nil {
		err = accept(plans)
	}
	if err != nil {
		return Applied{}, err
	}
	var keys []PoolKey
	for _, p := range plans.Plans {
		for i := range p.Pools {
			keys = append(keys, PoolKey{p.Pools[i].Name, p.Pools[i].KubeCluster})
		}
	}
	defer s.markChanged(keys...)()
	return s.engine.Apply(ctx, plans, ApplyOptions{Progress: progress})
}

// DeclareExisting declares a pool that Existing returned, unless it is declared already:
// what a person declared has more than what can be observed.
func (s *Session) DeclareExisting(pool *v1alpha1.WorkerPool) {
	s.mu.Lock()
	_, known := s.index[KeyOf(pool)]
	s.mu.Unlock()
	if !known {
		s.Declare(pool)
	}
}

// markChanged notes that pools are being changed. Call the result after the work: an
// observation that was made during the work does not show all of it.
func (s *Session) markChanged(keys ...PoolKey) (again func()) {
	mark := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, key := range keys {
			s.changed[key] = true
		}
	}
	mark()
	return mark
}

// Forget removes a pool whose workers are gone.
func (s *Session) Forget(key PoolKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.index[key]
	if !known {
		return
	}
	s.pools = slices.Delete(s.pools, at, at+1)
	clear(s.index)
	for i := range s.pools {
		s.index[KeyOf(&s.pools[i])] = i
	}
	s.declared++
}

// endedLocked reports whether a pool was forgotten whose end was not observed yet: a new
// pool may need its names or cards.
func (s *Session) endedLocked() bool {
	for key := range s.changed {
		if _, declared := s.index[key]; !declared {
			return true
		}
	}
	return false
}

// Addresses asks the guest agent of a VM for the addresses of the guest; nil when it does
// not answer.
func (s *Session) Addresses(ctx context.Context, ref inventory.VMRef) ([]string, error) {
	backend, err := s.engine.backend(ctx, s.documents(), &s.hypervisor)
	if err != nil {
		return nil, err
	}
	addresses, _, err := backend.Agent(ctx, ref, "")
	return addresses, err
}

// Attachment reads a VM and returns its card as the hypervisor writes it, as AttachmentOf.
func (s *Session) Attachment(ctx context.Context, ref inventory.VMRef) (string, error) {
	backend, err := s.engine.backend(ctx, s.documents(), &s.hypervisor)
	if err != nil {
		return "", err
	}
	vm, err := backend.ObserveVM(ctx, ref)
	return AttachmentOf(vm), err
}

// AttachmentOf is the card of a VM as the hypervisor writes it, on Proxmox VE
// "mapping=gpu-pve1-0000-03-00,pcie=1"; "" without a card.
func AttachmentOf(vm *inventory.VM) string {
	text := ""
	if vm != nil {
		for _, a := range vm.Cards {
			if !a.Leaving {
				text = a.Text
			}
		}
	}
	return text
}

// documents returns all declared documents.
func (s *Session) documents() *v1alpha1.Documents {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.documentsLocked()
}

func (s *Session) documentsLocked() *v1alpha1.Documents {
	return documentsOf(s.hypervisor, slices.Clone(s.pools))
}

// documentsOf are the documents of pools on one hypervisor, with a KubeCluster for each
// name that they use.
func documentsOf(hypervisor v1alpha1.Hypervisor, pools []v1alpha1.WorkerPool) *v1alpha1.Documents {
	documents := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{hypervisor}, WorkerPools: pools}
	for i := range pools {
		name := pools[i].Spec.KubeCluster
		if _, known := documents.KubeCluster(name); name != "" && !known {
			k := v1alpha1.KubeCluster{}
			k.Name = name
			documents.KubeClusters = append(documents.KubeClusters, k)
		}
	}
	return documents
}

// decide makes the decision for a pool from an observation of its hosts of at most this
// age. Work that begins from it is noted as an intent.
func (s *Session) decide(ctx context.Context, key PoolKey, allowRestart bool, age time.Duration) (Decision, error) {
	hosts := s.awaitHosts(key)
	defer s.releaseHosts(hosts)
	pause(ctx, gatherTime)
	if err := s.enter(ctx); err != nil {
		return Decision{}, err
	}
	defer s.leave()
	s.mu.Lock()
	documents, declared := s.documentsLocked(), s.declared
	changed := s.changed[key] || len(hosts) == 0 && s.endedLocked()
	at, known := s.index[key]
	s.mu.Unlock()
	if !known { // another goroutine has ended it
		return Decision{}, &fault.Error{Kind: fault.Conflict, Doing: "plan pool " + key.Pool, Why: "its workers were deleted meanwhile", Fix: "run the same command again"}
	}
	pool := &documents.WorkerPools[at]
	if hosts, needed := s.stale(documents, pool, hosts, age); needed || changed {
		if err := s.renew(ctx, documents, hosts); err != nil {
			return Decision{}, err
		}
	}
	if s.decided == nil || s.decided.declared != declared || s.decided.seen != s.seen {
		s.decided = decideAll(s.seen, s.withIntents(s.seen.snapshot), documents, declared)
		places := s.decided.placesOf(allowRestart)
		s.mu.Lock()
		s.places = places
		s.mu.Unlock()
	}
	d, err := s.decided.of(key, allowRestart)
	if err == nil && age != anyAge {
		s.intend(key, d)
	}
	return d, err
}

// awaitHosts notes that a decision waits for the hosts of a pool, so that one observation
// serves all decisions that wait.
func (s *Session) awaitHosts(key PoolKey) (hosts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, host := range s.places[key] {
		s.awaited[host]++
	}
	return s.places[key]
}

func (s *Session) releaseHosts(hosts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, host := range hosts {
		if s.awaited[host]--; s.awaited[host] == 0 {
			delete(s.awaited, host)
		}
	}
}

// enter waits until no other goroutine uses the observation.
func (s *Session) enter(ctx context.Context) error {
	select {
	case s.deciding <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &fault.Error{Kind: fault.Unavailable, Doing: "observe the hypervisor", Where: fault.Place{Hypervisor: s.hypervisor.Name}, Cause: ctx.Err()}
	}
}

func (s *Session) leave() { <-s.deciding }

func pause(ctx context.Context, long time.Duration) {
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
}

func (s *Session) anyChanged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.changed) > 0
}
