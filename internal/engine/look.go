package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// Unseen is a hypervisor of the documents that could not be observed. Work that does
// not depend on it is planned, shown and done anyway.
type Unseen struct {
	Hypervisor string `json:"hypervisor"`
	Why        string `json:"why"`
	Fix        string `json:"fix,omitempty"`

	err error
}

// Err is the error of the observation.
func (u Unseen) Err() error {
	if u.err == nil { // read from a file
		return &fault.Error{Kind: fault.Unavailable, Where: fault.Place{Hypervisor: u.Hypervisor}, Why: u.Why, Fix: u.Fix}
	}
	return u.err
}

// observation is the result of observing the hypervisors of the documents, in their
// order. Each of them can fail alone.
type observation struct {
	inputs []planner.Input
	unseen []Unseen
}

// extent is how much of each hypervisor is observed.
type extent struct {
	part   *hypervisor.Extent // nil: everything
	agents bool               // ask the guest agents too
}

// whole is everything that a plan depends on.
var whole = extent{}

// extentOf is what a request needs to observe. apply and replace may put a new worker on
// any host, so they observe everything; so do adopt and orphans, which may find anything.
func extentOf(request plan.Request) extent {
	switch request.Verb {
	case plan.DeleteWorkers, plan.ParkWorkers, plan.DisownWorkers, plan.AcceptGPU:
		return extent{part: &hypervisor.Extent{Workers: request.Workers}}
	case plan.UnparkWorkers:
		return extent{part: &hypervisor.Extent{Workers: request.Workers, Neighbours: true}}
	default:
		return whole
	}
}

// look observes the hypervisors of the request, in parallel, and returns a planner's
// input for each. A hypervisor that fails, or does not answer before the deadline of the
// context, is unseen. look fails when none of them could be observed.
func (e *Engine) look(ctx context.Context, documents *v1alpha1.Documents, request plan.Request, within extent) (observation, error) {
	hypervisors := concerned(documents, request)
	if len(hypervisors) == 0 {
		return observation{}, &fault.Error{
			Kind: fault.Invalid, Doing: "observe the hypervisors", Why: "the documents have no Hypervisor",
			Fix: "add one, or also give the file that has it with -f",
		}
	}
	inputs := make([]planner.Input, len(hypervisors))
	errs := make([]error, len(hypervisors))
	var group sync.WaitGroup
	for i, document := range hypervisors {
		group.Go(func() { inputs[i], errs[i] = e.lookAt(ctx, documents, document, request, within) })
	}
	group.Wait()
	var w observation
	for i, err := range errs {
		switch {
		case err == nil:
			w.inputs = append(w.inputs, inputs[i])
		case errors.Is(ctx.Err(), context.Canceled):
			return observation{}, err
		default:
			w.unseen = append(w.unseen, Unseen{Hypervisor: hypervisors[i].Name, Why: err.Error(), Fix: fault.FixOf(err), err: err})
		}
	}
	if len(w.inputs) == 0 {
		return observation{}, errors.Join(errs...)
	}
	if e.options.Facts != nil && len(w.inputs) == len(documents.Hypervisors) && within.part == nil {
		// Facts of hosts that no hypervisor has. This is known only if all hypervisors were
		// observed completely. They are reported once, with the first input.
		w.inputs[0].InputFindings = e.options.Facts.Unused(hostNames(w.inputs))
	}
	return w, nil
}

func hostNames(inputs []planner.Input) []string {
	var names []string
	for _, in := range inputs {
		for i := range in.Snapshot.Hosts {
			names = append(names, in.Snapshot.Hosts[i].Name)
		}
	}
	return names
}

// lookAt observes one hypervisor and returns the planner's input for it.
func (e *Engine) lookAt(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, request plan.Request, within extent) (planner.Input, error) {
	scope := scopeOf(documents, document)
	scope.Agents, scope.Only = within.agents, within.part
	scope.Seeds = request.Verb == plan.ReleaseOrphans
	if request.VM != "" {
		scope.VMs = []string{request.VM}
	}
	snapshot, err := e.observeScope(ctx, documents, document, scope)
	if err != nil {
		return planner.Input{}, err
	}
	return inputOf(documents, document, snapshot, request), nil
}

// observeScope observes one hypervisor, with the facts of its hosts.
func (e *Engine) observeScope(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, scope hypervisor.Scope) (*inventory.Snapshot, error) {
	backend, err := e.backend(ctx, documents, document)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	snapshot, err := backend.Observe(ctx, scope)
	e.logLook(document.Name, snapshot, time.Since(began), err)
	if err == nil && (scope.Only == nil || scope.Only.Neighbours) { // host facts matter only when a VM is started
		e.askHosts(ctx, snapshot)
	}
	return snapshot, err
}

// inputOf is the planner's input for one hypervisor of the documents.
func inputOf(documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, snapshot *inventory.Snapshot, request plan.Request) planner.Input {
	in := planner.Input{Hypervisor: document, Snapshot: snapshot, Request: request}
	for _, kubeCluster := range documents.KubeClusters {
		in.KubeClusters = append(in.KubeClusters, kubeCluster.Name)
	}
	for _, pool := range documents.PoolsOn(document.Name) {
		in.Pools = append(in.Pools, *pool)
	}
	addOtherPools(&in, documents)
	return in
}

// scopeOf is what must be observed of a hypervisor for these documents.
func scopeOf(documents *v1alpha1.Documents, target *v1alpha1.Hypervisor) hypervisor.Scope {
	scope := hypervisor.Scope{ResourcePools: []string{target.ResourcePool()}}
	add := func(list *[]string, name string) {
		if !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	for _, pool := range documents.PoolsOn(target.Name) {
		add(&scope.Storages, pool.Spec.Machine.Disk.Storage)
		for _, network := range pool.Networks() {
			add(&scope.Bridges, network.Name)
		}
		add(&scope.Pools, pool.Name)
		scope.Workers = append(scope.Workers, pool.Spec.Names...)
		scope.Cards = scope.Cards || pool.IsGPU()
		scope.NewVMs += pool.Size()
		if pool.UsesGuestProgram() {
			scope.Guests = true
			scope.UseSeeds = scope.UseSeeds || pool.UsesSeed()
		}
	}
	return scope
}

// addOtherPools adds the pools of other Hypervisor documents to an input. Two documents
// with the same endpoint are aliases; the later one is the alias.
func addOtherPools(in *planner.Input, documents *v1alpha1.Documents) {
	before := true
	for i := range documents.Hypervisors {
		other := &documents.Hypervisors[i]
		if other.Name == in.Hypervisor.Name {
			before = false
			continue
		}
		pools := documents.PoolsOn(other.Name)
		in.OtherPools = append(in.OtherPools, pools...)
		if other.Endpoint() != "" && other.Endpoint() == in.Hypervisor.Endpoint() {
			in.AliasPools = append(in.AliasPools, pools...)
			in.IsAlias = in.IsAlias || before
		}
	}
}

// askHosts adds host facts to the hosts that have cards.
func (e *Engine) askHosts(ctx context.Context, s *inventory.Snapshot) {
	if e.options.Facts == nil {
		return
	}
	var hosts []*inventory.Host
	for i := range s.Hosts {
		if s.Hosts[i].Online && !s.Hosts[i].Skipped && len(s.Hosts[i].GPUs()) > 0 {
			hosts = append(hosts, &s.Hosts[i])
		}
	}
	facts := e.options.Facts.Facts(ctx, hosts)
	for i := range s.Hosts {
		s.Hosts[i].Facts = facts[s.Hosts[i].Name]
	}
}
