package engine_test

import (
	"context"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// testEngine is an engine with the documents of a test.
type testEngine struct {
	*engine.Engine
	documents *v1alpha1.Documents
}

type planOptions struct{ AllowRestart, AllOrNothing bool }

type replaceOptions struct {
	Names, VMs []string
	KeepRecent bool
}

func (e testEngine) ask(ctx context.Context, request plan.Request) (engine.Plans, error) {
	return e.Engine.Plan(ctx, e.documents, request)
}

func (e testEngine) Plan(ctx context.Context, o planOptions) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.ApplyDocuments, AllowRestart: o.AllowRestart, AllOrNothing: o.AllOrNothing})
}

func (e testEngine) PlanReplace(ctx context.Context, o replaceOptions) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.ReplaceWorkers, Workers: o.Names, UUIDs: o.VMs, KeepRecent: o.KeepRecent})
}

func (e testEngine) PlanDelete(ctx context.Context, names []string) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.DeleteWorkers, Workers: names})
}

func (e testEngine) PlanPark(ctx context.Context, names []string) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.ParkWorkers, Workers: names})
}

func (e testEngine) PlanUnpark(ctx context.Context, names []string) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.UnparkWorkers, Workers: names})
}

func (e testEngine) PlanAdopt(ctx context.Context, vm, worker string) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.AdoptVM, VM: vm, Workers: []string{worker}})
}

func (e testEngine) PlanOrphans(ctx context.Context) (engine.Plans, error) {
	return e.ask(ctx, plan.Request{Verb: plan.ReleaseOrphans})
}

func (e testEngine) Status(ctx context.Context) ([]status.Row, error) {
	rows, _, err := e.Engine.Status(ctx, e.documents, nil)
	return rows, err
}

func (e testEngine) Observe(ctx context.Context, _ bool) ([]engine.Hypervisor, error) {
	seen, err := e.Engine.Observe(ctx, e.documents)
	return seen.Hypervisors, err
}

func (e testEngine) Check(ctx context.Context) ([]engine.Hypervisor, error) {
	seen, err := e.Engine.Check(ctx, e.documents)
	return seen.Hypervisors, err
}

func (e testEngine) Export(ctx context.Context) ([]byte, error) {
	return e.Engine.Export(ctx, e.documents)
}

func (e testEngine) Role(ctx context.Context, version string) (string, error) {
	return e.Engine.Role(ctx, e.documents, version)
}

// openEngine makes an engine for a test's documents.
func openEngine(documents *v1alpha1.Documents, by string, open func(*v1alpha1.Hypervisor) (hypervisor.Backend, error)) testEngine {
	return testEngine{engine.New(engine.Options{
		By: by, Builds: builds, Version: "1.2.3",
		Open: func(_ context.Context, _ *v1alpha1.Documents, h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return open(h)
		},
	}), documents}
}
