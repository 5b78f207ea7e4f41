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

// The verbs for single workers all work alike: a plan for the workers named,
// shown, and carried out when a person agreed.

// careCommand completes a command that makes a plan for named workers.
func (a *app) careCommand(cmd *cobra.Command, s *manner, request func(args []string) (plan.Request, error)) *cobra.Command {
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
		return a.care(ctx, e, plans, *s)
	})
	return cmd
}

// care carries plans for named workers out. Names that are of no worker do not
// keep the others from being done.
func (a *app) care(ctx context.Context, e session, plans engine.Plans, s manner) error {
	if len(workersOf(plans)) == 0 && len(absent(plans)) == 0 && len(plans.Unknown) > 0 {
		return despite(a.machineNothing(plans, s), plans.Unseen, plans.Unknown)
	}
	missing := absent(plans)
	if len(missing) > 0 && len(workersOf(plans)) == 0 {
		if s.ends != "" {
			return despite(a.nothingThere(plans, missing, s), plans.Unseen, plans.Unknown)
		}
		return despite(&fault.Error{Kind: fault.NotFound, Why: strings.Join(absences(missing), "\n"), Fix: adviceFor(missing)}, plans.Unseen, plans.Unknown)
	}
	if s.ends != "" {
		a.sayGone(missing, s.ends)
	}
	err := a.confirmAndApply(ctx, e, plans, s)
	if len(missing) == 0 || s.ends != "" || ctx.Err() != nil {
		return err
	}
	return besidesAll(&fault.Error{Kind: fault.NotFound, Why: strings.Join(absences(missing), "\n"), Fix: adviceFor(missing)}, err)
}

// nothingThere ends a delete or disown of workers of which nothing is there.
func (a *app) nothingThere(plans engine.Plans, missing []plan.Absent, s manner) error {
	a.sayGone(missing, s.ends)
	return a.machineNothing(plans, s)
}

// sayGone says of each name that it is done already, since nothing is there.
func (a *app) sayGone(missing []plan.Absent, ends string) {
	for _, m := range missing {
		text := m.Name + ": not there, nothing to " + ends
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

// absent are the names of the command that are of no worker.
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

// workersOf are all workers of the plans.
func workersOf(plans engine.Plans) []*plan.Worker {
	var workers []*plan.Worker
	for _, p := range plans.Plans {
		for w := range p.Workers() {
			workers = append(workers, w)
		}
	}
	return workers
}
