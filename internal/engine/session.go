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
	"github.com/gpuworker/gpuworker/internal/hypervisor"
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
	index    map[PoolKey]int  // in pools
	declared int              // how often a pool was declared or has changed
	changed  map[PoolKey]bool // pools whose workers were changed since the observation began

	deciding chan struct{} // holds one token while seen and decided are used
	seen     *seen
	decided  *decided
}

// PoolKey identifies a pool on a hypervisor.
type PoolKey struct{ Pool, KubeCluster string }

// KeyOf returns the key of a pool.
func KeyOf(pool *v1alpha1.WorkerPool) PoolKey { return PoolKey{pool.Name, pool.Spec.KubeCluster} }

// seen is an observation that many plans are made from.
type seen struct {
	snapshot *inventory.Snapshot
	scope    hypervisor.Scope
	began    time.Time
}

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
		engine: e, hypervisor: *document, index: map[PoolKey]int{}, changed: map[PoolKey]bool{}, deciding: make(chan struct{}, 1),
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
func (s *Session) Apply(ctx context.Context, pool *v1alpha1.WorkerPool, allowRestart bool, accept func(Decision) error) (Decision, []apply.Outcome, error) {
	key := s.Declare(pool)
	began := time.Now()
	d, err := s.decide(ctx, key, allowRestart, workAge)
	if err == nil {
		err = accept(d)
	}
	if err != nil && d.all != nil && !d.all.seen.began.After(began) {
		if d, err = s.decide(ctx, key, allowRestart, time.Since(began)); err == nil {
			err = accept(d)
		}
	}
	if err != nil {
		return d, nil, err
	}
	s.mu.Lock()
	s.changed[key] = true
	s.mu.Unlock()
	todo := *d.plan
	todo.Pools = slices.DeleteFunc(slices.Clone(todo.Pools), func(p plan.Pool) bool { return PoolKey{p.Name, p.KubeCluster} != key })
	plans := Plans{Request: applyRequest(allowRestart), Documents: document.List{Documents: d.all.documents}, Plans: []*plan.Plan{&todo}}
	result, err := s.engine.applyOne(ctx, plans, &todo, &todo, ApplyOptions{})
	return d, result.Outcomes, withFailures(err, result)
}

// Work carries out a request that names workers: delete, replace, park or unpark. Their
// pools must have been declared. accept decides whether the plans may be carried out.
func (s *Session) Work(ctx context.Context, request plan.Request, accept func(Plans) error) (Applied, error) {
	documents := s.documents()
	plans, err := s.engine.Plan(ctx, documents, request)
	if err == nil {
		err = accept(plans)
	}
	if err != nil {
		return Applied{}, err
	}
	s.mu.Lock()
	for _, p := range plans.Plans {
		for i := range p.Pools {
			s.changed[PoolKey{p.Pools[i].Name, p.Pools[i].KubeCluster}] = true
		}
	}
	s.mu.Unlock()
	return s.engine.Apply(ctx, plans, ApplyOptions{})
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

// Observe returns the shared observation. After a change in this session it observes
// the hypervisor again.
func (s *Session) Observe(ctx context.Context) (*inventory.Snapshot, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	documents := s.documents()
	if s.seen == nil || s.anyChanged() {
		if err := s.look(ctx, documents); err != nil {
			return nil, err
		}
	}
	return s.seen.snapshot, nil
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

// documents returns all declared documents.
func (s *Session) documents() *v1alpha1.Documents {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.documentsLocked()
}

func (s *Session) documentsLocked() *v1alpha1.Documents {
	documents := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{s.hypervisor}, WorkerPools: slices.Clone(s.pools)}
	for i := range s.pools {
		name := s.pools[i].Spec.KubeCluster
		if _, known := documents.KubeCluster(name); name != "" && !known {
			k := v1alpha1.KubeCluster{}
			k.Name = name
			documents.KubeClusters = append(documents.KubeClusters, k)
		}
	}
	return documents
}

// decide makes the decision for a pool from an observation of at most this age.
func (s *Session) decide(ctx context.Context, key PoolKey, allowRestart bool, age time.Duration) (Decision, error) {
	pause(ctx, gatherTime)
	if err := s.enter(ctx); err != nil {
		return Decision{}, err
	}
	defer s.leave()
	s.mu.Lock()
	documents, declared, changed := s.documentsLocked(), s.declared, s.changed[key]
	s.mu.Unlock()
	if s.seen == nil || changed || time.Since(s.seen.began) > age || !s.covers(documents) {
		if err := s.look(ctx, documents); err != nil {
			return Decision{}, err
		}
	}
	if s.decided == nil || s.decided.declared != declared || s.decided.seen != s.seen {
		s.decided = decideAll(s.seen, documents, declared)
	}
	return s.decided.of(key, allowRestart)
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

// covers reports whether the observation shows all that plans of the documents depend on.
func (s *Session) covers(documents *v1alpha1.Documents) bool {
	needs, has := scopeOf(documents, &s.hypervisor), s.seen.scope
	within := func(list, all []string) bool {
		return !slices.ContainsFunc(list, func(name string) bool { return !slices.Contains(all, name) })
	}
	if !within(needs.Storages, has.Storages) || !within(needs.Bridges, has.Bridges) || needs.Cards && !has.Cards || needs.NewVMs > has.NewVMs {
		return false
	}
	named := setOf(needs.Workers)
	return !slices.ContainsFunc(s.seen.snapshot.VMs, func(vm inventory.VM) bool {
		return vm.Skipped && (named[vm.Name] ||
			slices.ContainsFunc(needs.Pools, func(pool string) bool { return strings.HasPrefix(vm.Name, pool+"-") }))
	})
}

// look observes the hypervisor.
func (s *Session) look(ctx context.Context, documents *v1alpha1.Documents) error {
	s.mu.Lock()
	was := s.changed
	s.changed = map[PoolKey]bool{}
	s.mu.Unlock()
	began, scope := time.Now(), scopeOf(documents, &s.hypervisor)
	scope.NewVMs = max(scope.NewVMs, newVMs)
	snapshot, err := s.engine.observeScope(ctx, documents, &s.hypervisor, scope)
	if err != nil {
		s.mu.Lock()
		for key := range was {
			s.changed[key] = true
		}
		s.mu.Unlock()
		return err
	}
	s.seen = &seen{snapshot: snapshot, scope: scope, began: began}
	return nil
}
