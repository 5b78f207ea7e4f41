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

// workersCommand completes a command whose arguments are names of workers.
func (a *app) workersCommand(verb plan.Verb, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MinimumNArgs(1)
	return a.namedCommand(cmd, modeOf(verb), func(names []string) (plan.Request, error) {
		return plan.Request{Verb: verb, Workers: names}, nil
	})
}

// namedCommand completes a command that changes named workers: it makes a plan for
// them, shows it, and carries it out after confirmation.
func (a *app) namedCommand(cmd *cobra.Command, s *applyMode, request func(args []string) (plan.Request, error)) *cobra.Command {
	a.addModeFlags(cmd, s)
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
	missing, notFound := absent(plans), error(nil)
	switch {
	case s.endVerb != "":
		a.sayGone(missing, s.endVerb)
	case len(missing) > 0:
		notFound = absentError(missing)
	}
	if len(workersOf(plans)) == 0 && len(missing)+len(plans.Unknown) > 0 {
		if notFound == nil {
			notFound = a.printNothingDone(plans, s)
		}
		return addUnseen(notFound, plans.Unseen, plans.Unknown)
	}
	err := a.confirmAndApply(ctx, e, plans, s)
	if notFound == nil || ctx.Err() != nil {
		return err
	}
	return addUndone(notFound, err)
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

// absentError is the error for names that no worker has.
func absentError(missing []plan.Absent) error {
	var why, near []string
	for _, m := range missing {
		why, near = append(why, fmt.Sprintf("%s: %s", m.Name, m.Why)), append(near, m.Near...)
	}
	fix := "gpuworker status lists all workers"
	if len(near) > 0 {
		fix = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &fault.Error{Kind: fault.NotFound, Why: strings.Join(why, "\n"), Fix: fix}
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
