package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) assertCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assert",
		Short: "Exit with 0 if everything is as declared, with 4 if not",
		Long: `Compare the documents with the hypervisors and change nothing. The exit code is 0
if every worker exists as declared. Otherwise it is 4, and the differences are
printed. For monitoring and pipelines.`,
		Example: `  gpuworker assert -f lab.yaml -q || echo "the lab differs from lab.yaml"`,
		RunE:    verb(a.assert),
	}
}

// assertView is the output for machines.
type assertView struct {
	AsDeclared  bool          `json:"asDeclared"`
	Differences []plan.Worker `json:"differences"`
	// Unseen are the hypervisors that could not be observed.
	Unseen []engine.Unseen `json:"unseen,omitempty"`
}

func (a *app) assert(ctx context.Context, _ []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	plans, err := e.plan(ctx, plan.Request{Verb: plan.ApplyDocuments, AllowRestart: true})
	if err != nil {
		return err
	}
	view := assertView{AsDeclared: len(plans.Unseen) == 0, Differences: []plan.Worker{}, Unseen: plans.Unseen}
	workers := 0
	for _, p := range plans.Plans {
		view.AsDeclared = view.AsDeclared && p.AsDeclared()
		for worker := range p.Workers() {
			workers++
			if worker.Action != plan.Keep {
				view.Differences = append(view.Differences, *worker)
			}
		}
	}
	switch {
	case !a.forPeople():
		err = a.machine(view)
	case len(view.Differences) > 0:
		a.printDifferences(view.Differences)
	default:
		a.say("As declared: %s on %s.\n", term.Count(workers, "worker"), hypervisorNames(plans))
	}
	if err == nil && len(view.Differences) > 0 {
		err = silentExit(fault.ExitDiffers)
	}
	return addUnseen(err, plans.Unseen, nil)
}

func (a *app) printDifferences(workers []plan.Worker) {
	p := a.paint(a.Out)
	for _, w := range workers {
		text := string(w.Action)
		if w.Reason != "" {
			text += ": " + w.Reason
		}
		term.Fprintf(a.Out, "%s %s  %s\n", p.Red("✗"), p.Bold(w.Name), text)
		for _, c := range w.Changes {
			term.Fprintf(a.Out, "    %s: %s → %s (%s)\n", c.Field, cmp.Or(c.From, term.Nothing), cmp.Or(c.To, term.Nothing), c.When)
		}
		for _, r := range w.Refusals {
			term.Fprintf(a.Out, "    %s\n", startingWith(r.Where.String(), r.Reason))
		}
	}
	term.Fprintf(a.Out, "Not as declared: %s.\n", differ(len(workers)))
	a.say("%s  %s\n", p.Bold("Next:"), a.withFiles("gpuworker plan"))
}

func differ(n int) string {
	if n == 1 {
		return "1 worker differs"
	}
	return fmt.Sprintf("%d workers differ", n)
}

func hypervisorNames(plans engine.Plans) string {
	var names []string
	for _, p := range plans.Plans {
		names = append(names, p.Hypervisor)
	}
	return strings.Join(names, ", ")
}
