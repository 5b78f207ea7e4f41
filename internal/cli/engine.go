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

// Engine is what the verbs ask of the engine. Hypervisors that could not be seen
// are told beside the rest.
type Engine interface {
	looker
	teller

	// Plan says what would be done for a request, and changes nothing.
	Plan(ctx context.Context, documents *v1alpha1.Documents, request plan.Request) (engine.Plans, error)
	// Apply carries plans out: it looks again first and refuses a world that
	// changed in a way that matters.
	Apply(ctx context.Context, plans engine.Plans, options engine.ApplyOptions) (engine.Applied, error)
}

// looker sees the world.
type looker interface {
	// Observe sees every hypervisor of the documents.
	Observe(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error)
	// Hosts sees the hosts and the claims on their cards, and no VMs.
	Hosts(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error)
	// Check is Observe with Hypervisor.Findings filled in.
	Check(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error)
	// Status sees the named workers; all without names.
	Status(ctx context.Context, documents *v1alpha1.Documents, names []string) ([]status.Row, []engine.Unseen, error)
}

// teller writes texts for people to keep.
type teller interface {
	// Export is the observed world in the input format, YAML.
	Export(ctx context.Context, documents *v1alpha1.Documents) ([]byte, error)
	// Role is the commands that make a least-privilege login.
	Role(ctx context.Context, documents *v1alpha1.Documents, version string) (string, error)
}

// session is an engine and the documents that the command was given.
type session struct {
	engine    Engine
	documents *v1alpha1.Documents
}

// plan says what would be done for a request.
func (s session) plan(ctx context.Context, request plan.Request) (engine.Plans, error) {
	return s.engine.Plan(ctx, s.documents, request)
}

// despite is how a command ends that could not look at some hypervisors: what it
// could do is done, and the errors of the looks give the exit code. unknown are
// the workers that may be there.
func despite(err error, unseen []engine.Unseen, unknown []string) error {
	var said verdict
	var first ended
	var all []error
	if err != nil && !errors.As(err, &said) && !errors.As(err, &first) {
		all = append(all, err)
	}
	if len(unknown) > 0 && len(unseen) > 0 {
		all = append(all, &fault.Error{
			Kind: fault.KindOf(unseen[0].Err()), Doing: "find " + quoteAll(unknown),
			Why: "whether it is there is unknown, because a hypervisor that may have it could not be looked at",
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
		return besidesAll(first.error, errors.Join(all...))
	}
	return errors.Join(all...)
}
