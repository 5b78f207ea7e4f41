package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// namedCommand completes a command that changes named workers: it makes a plan for
// them, shows it, and carries it out after confirmation.
func (a *app) namedCommand(cmd *cobra.Command, s *applyMode, request func(args []string) (plan.Request, error)) *cobra.Command {
	s.addFlags(cmd)
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = a.complete(workerNames)
	}
	cmd.RunE = verb(func(ctx context.Context, args []string) error {
		asked, err := request(args)
		if err != nil {
			return err
		}
		if slices.Contains(asked.Workers, "") {
			return usage("the name of a worker is empty")
		}
		e, err := a.engine(ctx)
		if err != nil {
			return err
		}
		plans, err := e.plan(ctx, asked)
		if err != nil {
			return err
		}
		return a.applyNamed(ctx, e, plans, *s)
	})
	return cmd
}

// applyNamed carries out plans for named workers. A name that no worker has does not
// stop the work on the others.
func (a *app) applyNamed(ctx context.Context, e session, plans engine.Plans, s applyMode) error {
	if len(workersOf(plans)) == 0 && len(absent(plans)) == 0 && len(plans.Unknown) > 0 {
		return addUnseen(a.printNothingDone(plans, s), plans.Unseen, plans.Unknown)
	}
	missing := absent(plans)
	if len(missing) > 0 && len(workersOf(plans)) == 0 {
		if s.endVerb != "" {
			return addUnseen(a.nothingThere(plans, missing, s), plans.Unseen, plans.Unknown)
		}
		return addUnseen(&fault.Error{Kind: fault.NotFound, Why: strings.Join(absences(missing), "\n"), Fix: adviceFor(missing)}, plans.Unseen, plans.Unknown)
	}
	if s.endVerb != "" {
		a.sayGone(missing, s.endVerb)
	}
	err := a.confirmAndApply(ctx, e, plans, s)
	if len(missing) == 0 || s.endVerb != "" || ctx.Err() != nil {
		return err
	}
	return addUndone(&fault.Error{Kind: fault.NotFound, Why: strings.Join(absences(missing), "\n"), Fix: adviceFor(missing)}, err)
}

// nothingThere ends a delete or disown when none of the named workers exists.
func (a *app) nothingThere(plans engine.Plans, missing []plan.Absent, s applyMode) error {
	a.sayGone(missing, s.endVerb)
	return a.printNothingDone(plans, s)
}

// sayGone prints that these workers do not exist, so that nothing has to be done.
func (a *app) sayGone(missing []plan.Absent, ends string) {
	for _, m := range missing {
		text := m.Name + ": does not exist, nothing to " + ends
		if m.Namesake {
			text = m.Name + ": " + m.Why + ": nothing to " + ends
		}
		if len(m.Near) > 0 {
			text += " (did you mean " + strings.Join(m.Near, " or ") + "?)"
		}
		if a.forPeople() {
			a.say("%s\n", text)
		} else {
			a.keepWarning(text)
		}
	}
}

// absent returns the names of the command that no worker has.
func absent(plans engine.Plans) []plan.Absent {
	var all []plan.Absent
	for _, p := range plans.Plans {
		all = append(all, p.Absent...)
	}
	return all
}

func absences(missing []plan.Absent) []string {
	var texts []string
	for _, m := range missing {
		texts = append(texts, fmt.Sprintf("%s: %s", m.Name, m.Why))
	}
	return texts
}

func adviceFor(missing []plan.Absent) string {
	var near []string
	for _, m := range missing {
		near = append(near, m.Near...)
	}
	if len(near) == 0 {
		return "gpuworker status lists all workers"
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}

// workersOf returns all workers of the plans.
func workersOf(plans engine.Plans) []*plan.Worker {
	var workers []*plan.Worker
	for _, p := range plans.Plans {
		for w := range p.Workers() {
			workers = append(workers, w)
		}
	}
	return workers
}
