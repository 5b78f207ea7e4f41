package cli

import (
	"context"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
	"github.com/gpuworker/gpuworker/internal/term"
)

// When a person is told that a look is still under way.
const (
	firstWait = 2 * time.Second
	nextWait  = 10 * time.Second
)

// patient is an engine whose looks tell a person that they take long.
type patient struct {
	Engine
	app *app
}

// looking tells so on standard error, if that is a terminal, until it is stopped.
func (p patient) looking() (stop func()) {
	a := p.app
	if !a.Err.Terminal || !a.forPeople() || a.quiet || a.logs() {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for took, pause := time.Duration(0), firstWait; ; pause = nextWait {
			select {
			case <-done:
				return
			case <-time.After(pause):
				took += pause
				term.Fprintf(a.Err, "Still reading the hypervisors (%s) …\n", seconds(took))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (p patient) Plan(ctx context.Context, d *v1alpha1.Documents, r plan.Request) (engine.Plans, error) {
	defer p.looking()()
	return p.Engine.Plan(ctx, d, r)
}

func (p patient) Observe(ctx context.Context, d *v1alpha1.Documents) (engine.Observed, error) {
	defer p.looking()()
	return p.Engine.Observe(ctx, d)
}

func (p patient) Hosts(ctx context.Context, d *v1alpha1.Documents) (engine.Observed, error) {
	defer p.looking()()
	return p.Engine.Hosts(ctx, d)
}

func (p patient) Check(ctx context.Context, d *v1alpha1.Documents) (engine.Observed, error) {
	defer p.looking()()
	return p.Engine.Check(ctx, d)
}

func (p patient) Status(ctx context.Context, d *v1alpha1.Documents, names []string) ([]status.Row, []engine.Unseen, error) {
	defer p.looking()()
	return p.Engine.Status(ctx, d, names)
}

func (p patient) Export(ctx context.Context, d *v1alpha1.Documents) ([]byte, error) {
	defer p.looking()()
	return p.Engine.Export(ctx, d)
}
