package cli

import (
	"context"
	"errors"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// Engine is the part of the engine that the verbs use. Results include the hypervisors
// that could not be observed.
type Engine interface {
	observer
	exporter

	// Plan makes plans for a request. It changes nothing.
	Plan(ctx context.Context, documents *v1alpha1.Documents, request plan.Request) (engine.Plans, error)
	// Apply carries plans out. It observes again first, and refuses plans when the world
	// has changed in a way that matters.
	Apply(ctx context.Context, plans engine.Plans, options engine.ApplyOptions) (engine.Applied, error)
}

// observer reads the world.
type observer interface {
	// Observe reads every hypervisor of the documents.
	Observe(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error)
	// Hosts reads the hosts and the claims on their cards, but no VMs.
	Hosts(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error)
	// Check is Observe with Hypervisor.Findings set.
	Check(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error)
	// Status returns the named workers, or all workers without names.
	Status(ctx context.Context, documents *v1alpha1.Documents, names []string) ([]status.Row, []engine.Unseen, error)
}

// exporter writes texts for people.
type exporter interface {
	// Export returns the observed world as YAML documents.
	Export(ctx context.Context, documents *v1alpha1.Documents) ([]byte, error)
	// Role returns the commands that make a least-privilege login.
	Role(ctx context.Context, documents *v1alpha1.Documents, version string) (string, error)
}

// session is an engine and the documents of the command.
type session struct {
	engine    Engine
	documents *v1alpha1.Documents
}

// plan makes plans for a request.
func (s session) plan(ctx context.Context, request plan.Request) (engine.Plans, error) {
	return s.engine.Plan(ctx, s.documents, request)
}

// addUnseen adds the errors of the hypervisors that could not be observed to the result
// of a command; they decide the exit code. unknown are names that a worker on them may
// have.
func addUnseen(err error, unseen []engine.Unseen, unknown []string) error {
	var said silentExit
	var first partialError
	var all []error
	if err != nil && !errors.As(err, &said) && !errors.As(err, &first) {
		all = append(all, err)
	}
	if len(unknown) > 0 && len(unseen) > 0 {
		all = append(all, &fault.Error{
			Kind: fault.KindOf(unseen[0].Err()), Doing: "find " + quoteAll(unknown),
			Why: "it is unknown whether it exists, because a hypervisor that may have it could not be observed",
			Fix: "run the same command again when that hypervisor answers",
		})
	}
	for _, u := range unseen {
		all = append(all, u.Err())
	}
	switch {
	case len(unseen) == 0:
		return err
	case first.error != nil:
		return addUndone(first.error, errors.Join(all...))
	}
	return errors.Join(all...)
}
