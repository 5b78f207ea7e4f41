package engine

import (
	"context"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/check"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// Observed is what was seen of the hypervisors of the documents.
type Observed struct {
	Worlds []World
	Unseen []Unseen
}

// World is one hypervisor of the documents, as observed.
type World struct {
	Hypervisor string
	Snapshot   *inventory.Snapshot
	Findings   []finding.Finding // of Check; nil otherwise
	// RequireFacts says that cards are used only when their hosts spoke for themselves.
	RequireFacts bool
}

// Observe looks at all hypervisors; agents asks the guests for their addresses
// too.
func (e *Engine) Observe(ctx context.Context, documents *v1alpha1.Documents, agents bool) (Observed, error) {
	return e.observe(ctx, documents, agents, func(plan.Input) []finding.Finding { return nil })
}

// Check looks at all hypervisors and judges whether the documents can be carried
// out there.
func (e *Engine) Check(ctx context.Context, documents *v1alpha1.Documents) (Observed, error) {
	return e.observe(ctx, documents, false, check.Run)
}

func (e *Engine) observe(ctx context.Context, documents *v1alpha1.Documents, agents bool, judge func(plan.Input) []finding.Finding) (Observed, error) {
	seen, err := e.look(ctx, documents, plan.Request{Verb: plan.ApplyDocuments}, agents)
	observed := Observed{Worlds: []World{}, Unseen: seen.unseen}
	for _, in := range seen.inputs {
		observed.Worlds = append(observed.Worlds, World{
			Hypervisor: in.Hypervisor.Name, Snapshot: in.Snapshot, Findings: judge(in), RequireFacts: in.Hypervisor.Spec.RequireHostFacts,
		})
	}
	return observed, err
}

// Status says how each worker is, declared or owned, on the hypervisors that could
// be seen.
func (e *Engine) Status(ctx context.Context, documents *v1alpha1.Documents) ([]status.Row, []Unseen, error) {
	seen, err := e.look(ctx, documents, plan.Request{Verb: plan.ApplyDocuments}, true)
	var rows []status.Row
	for _, in := range seen.inputs {
		rows = append(rows, status.Report(in)...)
	}
	return rows, seen.unseen, err
}
