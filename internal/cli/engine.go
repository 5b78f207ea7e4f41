package cli

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/status"
)

// Engine is what the verbs ask of the engine.
type Engine interface {
	looker
	planner
	teller

	// Apply carries plans out: it looks again first and refuses a world that
	// changed in a way that matters.
	Apply(ctx context.Context, plans engine.Plans, options engine.ApplyOptions) (engine.Applied, error)
}

// looker sees the world.
type looker interface {
	// Observe sees every hypervisor of the documents; agents asks the guests for
	// their addresses too.
	Observe(ctx context.Context, agents bool) ([]engine.World, error)
	// Check is Observe with World.Findings filled in.
	Check(ctx context.Context) ([]engine.World, error)
	Status(ctx context.Context) ([]status.Row, error)
}

// planner decides and changes nothing.
type planner interface {
	Plan(ctx context.Context, options engine.PlanOptions) (engine.Plans, error)
	PlanReplace(ctx context.Context, options engine.ReplaceOptions) (engine.Plans, error)
	PlanDelete(ctx context.Context, names []string) (engine.Plans, error)
	PlanPark(ctx context.Context, names []string) (engine.Plans, error)
	PlanUnpark(ctx context.Context, names []string) (engine.Plans, error)
	PlanAdopt(ctx context.Context, vm, worker string) (engine.Plans, error)
	PlanOrphans(ctx context.Context) (engine.Plans, error)
}

// teller writes texts for people to keep.
type teller interface {
	// Export is the observed world in the input format, YAML.
	Export(ctx context.Context) ([]byte, error)
	// Role is the commands that make a least-privilege login.
	Role(ctx context.Context, version string) (string, error)
}
