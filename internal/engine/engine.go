// Package engine is the one package that front ends import: it joins documents,
// a backend for each hypervisor, and the pure middle into the verbs of the
// product. It prints nothing and knows no flags.
package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/check"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// RoleWriter is a backend that can print how to make a least-privilege login.
type RoleWriter interface {
	// Role writes the commands for a person to run, with reasons as comments.
	// version is that of the hypervisor, "" for the newest known.
	Role(version string, scope hypervisor.Scope) string
}

// Options are what an engine works with.
type Options struct {
	// Documents are decoded, defaulted and valid.
	Documents *v1alpha1.Documents
	// Open logs in to a hypervisor.
	Open func(ctx context.Context, hypervisor *v1alpha1.Hypervisor) (hypervisor.Backend, error)
	// By names who runs this, "user@machine", for claims.
	By string
	// NewUUID makes identities for new VMs; nil takes random ones.
	NewUUID func() string
	// Facts lets hosts speak for themselves; may be nil.
	Facts FactSource
}

// FactSource knows what hosts say of themselves.
type FactSource interface {
	// Facts are those of the hosts, by name. One that could not be asked is there
	// with the reason, one that nobody knows how to ask is not.
	Facts(ctx context.Context, hosts []*inventory.Host) map[string]*inventory.Facts
	// Unused tells what it knows of none of these, the hosts of all hypervisors.
	Unused(hosts []string) []finding.Finding
}

// World is one hypervisor of the documents, as observed.
type World struct {
	Hypervisor string
	Snapshot   *inventory.Snapshot
	Findings   []finding.Finding // of Check; nil otherwise
}

// PlanOptions are what a person allows.
type PlanOptions struct {
	// AllowRestart lets running semi-persistent workers be stopped and started.
	AllowRestart bool
	// AllOrNothing refuses the whole plan when one worker is refused.
	AllOrNothing bool
}

// ApplyOptions say how a plan is carried out.
type ApplyOptions struct {
	// Progress is told each event, from several goroutines but never at once.
	// May be nil.
	Progress func(apply.Event)
	// Parallel bounds the workers in work at once; 0 takes the default.
	Parallel int
}

// Applied is what became of plans.
type Applied struct {
	Results []apply.Result `json:"results"`
}

// Plans are the plans of all hypervisors of the documents.
type Plans []*plan.Plan

// Engine joins documents and hypervisors. Its methods may be called one after
// another, each looks at the world anew.
type Engine struct {
	options Options

	mu       sync.Mutex
	backends map[string]hypervisor.Backend
	makers   map[*plan.Plan]maker
	named    []string // VMs of other people that a command named
}

// maker makes a plan again from a newer look at the world.
type maker func(plan.Input) (*plan.Plan, error)

// New makes an engine. It logs in nowhere yet.
func New(options Options) *Engine {
	if options.NewUUID == nil {
		options.NewUUID = randomUUID
	}
	return &Engine{options: options, backends: map[string]hypervisor.Backend{}, makers: map[*plan.Plan]maker{}}
}

// randomUUID makes a version 4 UUID (RFC 9562).
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// backend logs in to a hypervisor, once.
func (e *Engine) backend(ctx context.Context, hypervisor *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.backends[hypervisor.Name]; b != nil {
		return b, nil
	}
	b, err := e.options.Open(ctx, hypervisor)
	if err != nil {
		return nil, err
	}
	e.backends[hypervisor.Name] = b
	return b, nil
}

// scope is what the documents need of a hypervisor.
func (e *Engine) scope(of *v1alpha1.Hypervisor) hypervisor.Scope {
	e.mu.Lock()
	scope := hypervisor.Scope{VMs: slices.Clone(e.named)}
	e.mu.Unlock()
	add := func(list *[]string, name string) {
		if !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	for _, pool := range e.options.Documents.PoolsOn(of.Name) {
		add(&scope.Storages, pool.Spec.Machine.Disk.Storage)
		add(&scope.Bridges, pool.Spec.Network.Bridge)
		add(&scope.Pools, pool.Name)
		scope.Cards = scope.Cards || pool.IsGPU()
		scope.NewVMs += pool.Size()
	}
	scope.ResourcePools = []string{of.ResourcePool()}
	return scope
}

// look observes one hypervisor and lays it beside the documents.
func (e *Engine) look(ctx context.Context, hypervisor *v1alpha1.Hypervisor, agents bool) (plan.Input, error) {
	backend, err := e.backend(ctx, hypervisor)
	if err != nil {
		return plan.Input{}, err
	}
	scope := e.scope(hypervisor)
	scope.Agents = agents
	snapshot, err := backend.Observe(ctx, scope)
	if err != nil {
		return plan.Input{}, err
	}
	e.askHosts(ctx, snapshot)
	in := plan.Input{Hypervisor: hypervisor, Snapshot: snapshot}
	for _, kubeCluster := range e.options.Documents.KubeClusters {
		in.KubeClusters = append(in.KubeClusters, kubeCluster.Name)
	}
	for _, pool := range e.options.Documents.PoolsOn(hypervisor.Name) {
		in.Pools = append(in.Pools, *pool)
	}
	e.besides(&in)
	return in, nil
}

// besides adds what the documents say of other hypervisors.
func (e *Engine) besides(in *plan.Input) {
	before := true
	for i := range e.options.Documents.Hypervisors {
		other := &e.options.Documents.Hypervisors[i]
		if other.Name == in.Hypervisor.Name {
			before = false
			continue
		}
		pools := e.options.Documents.PoolsOn(other.Name)
		in.Elsewhere = append(in.Elsewhere, pools...)
		if other.Endpoint() != "" && other.Endpoint() == in.Hypervisor.Endpoint() {
			in.Beside = append(in.Beside, pools...)
			in.Second = in.Second || before
		}
	}
}

// askHosts lets the hosts that have cards speak for themselves.
func (e *Engine) askHosts(ctx context.Context, s *inventory.Snapshot) {
	if e.options.Facts == nil {
		return
	}
	var hosts []*inventory.Host
	for i := range s.Hosts {
		if s.Hosts[i].Online && len(s.Hosts[i].GPUs()) > 0 {
			hosts = append(hosts, &s.Hosts[i])
		}
	}
	facts := e.options.Facts.Facts(ctx, hosts)
	for i := range s.Hosts {
		s.Hosts[i].Facts = facts[s.Hosts[i].Name]
	}
}

// lookAll observes all hypervisors at once, in the order of the documents.
func (e *Engine) lookAll(ctx context.Context, agents bool) ([]plan.Input, error) {
	hypervisors := e.options.Documents.Hypervisors
	inputs := make([]plan.Input, len(hypervisors))
	g, gctx := errgroup.WithContext(ctx)
	for i := range hypervisors {
		g.Go(func() (err error) {
			inputs[i], err = e.look(gctx, &hypervisors[i], agents)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if e.options.Facts != nil && len(inputs) > 0 {
		// Nobody knows of which hypervisor they should be; so they are told once.
		inputs[0].Given = e.options.Facts.Unused(hostNames(inputs))
	}
	return inputs, nil
}

func hostNames(inputs []plan.Input) []string {
	var names []string
	for _, in := range inputs {
		for i := range in.Snapshot.Hosts {
			names = append(names, in.Snapshot.Hosts[i].Name)
		}
	}
	return names
}

// Observe looks at all hypervisors.
func (e *Engine) Observe(ctx context.Context, agents bool) ([]World, error) {
	inputs, err := e.lookAll(ctx, agents)
	if err != nil {
		return nil, err
	}
	worlds := make([]World, len(inputs))
	for i, in := range inputs {
		worlds[i] = World{Hypervisor: in.Hypervisor.Name, Snapshot: in.Snapshot}
	}
	return worlds, nil
}

// Check looks at all hypervisors and judges whether the documents can be
// carried out there.
func (e *Engine) Check(ctx context.Context) ([]World, error) {
	inputs, err := e.lookAll(ctx, false)
	if err != nil {
		return nil, err
	}
	worlds := make([]World, len(inputs))
	for i, in := range inputs {
		worlds[i] = World{Hypervisor: in.Hypervisor.Name, Snapshot: in.Snapshot, Findings: check.Run(in)}
	}
	return worlds, nil
}

// Status says how each worker is, declared or owned.
func (e *Engine) Status(ctx context.Context) ([]status.Row, error) {
	inputs, err := e.lookAll(ctx, true)
	if err != nil {
		return nil, err
	}
	var rows []status.Row
	for _, in := range inputs {
		rows = append(rows, status.Report(in)...)
	}
	return rows, nil
}
