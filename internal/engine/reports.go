package engine

import (
	"context"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/check"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/status"
)

// Observed are the observations of the hypervisors of the documents.
type Observed struct {
	Hypervisors []Hypervisor
	Unseen      []Unseen
}

// Hypervisor is one hypervisor of the documents, as observed.
type Hypervisor struct {
	Name     string
	Snapshot *inventory.Snapshot
	Findings []finding.Finding // of Check; nil otherwise
	// RequireFacts: cards are used only on hosts with complete host facts.
	RequireFacts bool
}

// Observe observes all hypervisors.
func (e *Engine) Observe(ctx context.Context, documents *v1alpha1.Documents) (Observed, error) {
	return e.observe(ctx, documents, whole, func(planner.Input) []finding.Finding { return nil })
}

// Hosts observes the hosts of all hypervisors with their devices and claims, but
// without VMs.
func (e *Engine) Hosts(ctx context.Context, documents *v1alpha1.Documents) (Observed, error) {
	hosts := extent{part: &hypervisor.Extent{Hosts: true}}
	return e.observe(ctx, documents, hosts, func(planner.Input) []finding.Finding { return nil })
}

// Check observes all hypervisors and checks whether the documents can be applied.
func (e *Engine) Check(ctx context.Context, documents *v1alpha1.Documents) (Observed, error) {
	return e.observe(ctx, documents, whole, check.Run)
}

func (e *Engine) observe(ctx context.Context, documents *v1alpha1.Documents, within extent, judge func(planner.Input) []finding.Finding) (Observed, error) {
	seen, err := e.look(ctx, documents, plan.Request{Verb: plan.ApplyDocuments}, within)
	observed := Observed{Hypervisors: []Hypervisor{}, Unseen: seen.unseen}
	for _, in := range seen.inputs {
		observed.Hypervisors = append(observed.Hypervisors, Hypervisor{
			Name: in.Hypervisor.Name, Snapshot: in.Snapshot, Findings: judge(in), RequireFacts: in.Hypervisor.Spec.RequireHostFacts,
		})
	}
	return observed, err
}

// Status reports the state of workers, declared or existing, on the hypervisors that
// could be observed: of the named workers, or of all when there are no names.
func (e *Engine) Status(ctx context.Context, documents *v1alpha1.Documents, names []string) ([]status.Row, []Unseen, error) {
	within := extent{agents: true}
	if len(names) > 0 {
		within.part = &hypervisor.Extent{Workers: names, Neighbours: true}
	}
	rows, unseen, err := e.statusWithin(ctx, documents, names, within)
	if err != nil || within.part == nil || haveVMs(rows, names) {
		return rows, unseen, err
	}
	return e.statusWithin(ctx, documents, names, extent{agents: true}) // the whole world shows why one is missing
}

func (e *Engine) statusWithin(ctx context.Context, documents *v1alpha1.Documents, names []string, within extent) ([]status.Row, []Unseen, error) {
	seen, err := e.look(ctx, documents, plan.Request{Verb: plan.ApplyDocuments}, within)
	var rows []status.Row
	for _, in := range seen.inputs {
		rows = append(rows, status.Report(in, e.askGuests(ctx, documents, in.Hypervisor, in.Snapshot))...)
	}
	if len(names) > 0 {
		named := setOf(names)
		rows = slices.DeleteFunc(rows, func(row status.Row) bool { return !named[row.Worker] })
	}
	return rows, seen.unseen, err
}

// haveVMs reports whether each of the names is that of a worker with a VM.
func haveVMs(rows []status.Row, names []string) bool {
	hasVM := map[string]bool{}
	for i := range rows {
		hasVM[rows[i].Worker] = hasVM[rows[i].Worker] || rows[i].UUID != ""
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !hasVM[name] })
}
