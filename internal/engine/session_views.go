package engine

import (
	"context"
	"reflect"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/check"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Observe returns the shared observation. After a change in this session it observes
// the hypervisor again. Pools that are declared at the same time are observed with it.
func (s *Session) Observe(ctx context.Context) (*inventory.Snapshot, error) {
	return s.observed(ctx, s.anyChanged)
}

// observed returns the shared observation; again reports whether it must be a new one.
func (s *Session) observed(ctx context.Context, again func() bool) (*inventory.Snapshot, error) {
	pause(ctx, gatherTime)
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	documents := s.documents()
	if s.seen == nil || again() {
		if err := s.renew(ctx, documents, nil); err != nil {
			return nil, err
		}
	}
	return s.seen.snapshot, nil
}

// Hypervisor returns the shared observation with the views of hosts and cards.
func (s *Session) Hypervisor(ctx context.Context) (Hypervisor, error) {
	snapshot, err := s.Observe(ctx)
	return s.asHypervisor(snapshot), err
}

// Check checks the hypervisor as Engine.Check does for documents without pools: which
// pools have been declared at this moment does not change the result. The shared
// observation is used if it was made without pools.
func (s *Session) Check(ctx context.Context) (Hypervisor, error) {
	if err := s.enter(ctx); err != nil {
		return Hypervisor{}, err
	}
	defer s.leave()
	alone := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{s.hypervisor}}
	scope := s.scopeOf(alone)
	if s.seen == nil {
		if err := s.renew(ctx, alone, nil); err != nil {
			return Hypervisor{}, err
		}
	}
	checked := s.asHypervisor(s.seen.snapshot)
	if s.anyChanged() || !reflect.DeepEqual(s.seen.scope, scope) {
		snapshot, err := s.engine.observeScope(ctx, alone, &s.hypervisor, scope)
		if err != nil {
			return Hypervisor{}, err
		}
		checked.Snapshot = snapshot
	}
	checked.Findings = check.Run(inputOf(alone, &s.hypervisor, checked.Snapshot, applyRequest(false)))
	return checked, nil
}

func (s *Session) asHypervisor(snapshot *inventory.Snapshot) Hypervisor {
	return Hypervisor{Name: s.hypervisor.Name, Snapshot: snapshot, RequireFacts: s.hypervisor.Spec.RequireHostFacts}
}

// scopeOf is what is observed for these documents. The privileges for cards are always
// checked: a missing one refuses only workers with a card.
func (s *Session) scopeOf(documents *v1alpha1.Documents) hypervisor.Scope {
	scope := scopeOf(documents, &s.hypervisor)
	scope.Cards, scope.NewVMs = true, max(scope.NewVMs, newVMs)
	return scope
}
