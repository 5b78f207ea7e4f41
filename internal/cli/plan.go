package cli

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) planCommand() *cobra.Command {
	request := plan.Request{Verb: plan.ApplyDocuments}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do, and why; change nothing",
		Long: `Compare the documents with the hypervisors. For each worker, show what would be
done, on which host, with which card, and why. For what cannot be done, show why
not and how to fix it. Nothing is changed.

  = as declared    + to create        ~ to change    - to destroy
  ± to replace     ✗ refused          ! held for a person
  … waits for other work

The exit code is 3 when a worker is refused.`,
		Example: `  gpuworker plan -f lab.yaml
  gpuworker plan -f lab.yaml -o json | jq .summary
  gpuworker plan -f lab.yaml -o json > p.json; gpuworker apply --plan p.json`,
		RunE: verb(func(ctx context.Context, _ []string) error { return a.plan(ctx, request) }),
	}
	addPlanFlags(cmd, &request)
	return cmd
}

func addPlanFlags(cmd *cobra.Command, request *plan.Request) {
	cmd.Flags().BoolVar(&request.AllowRestart, "allow-restart", false, "restart running semi-persistent workers if a change needs it")
	cmd.Flags().BoolVar(&request.AllOrNothing, "all-or-nothing", false, "do nothing at all if any worker is refused")
}

// planView are plans for machines: the format that gpuworker apply --plan reads.
type planView struct {
	engine.Plans
	Summary plan.Summary `json:"summary"`
}

func viewPlans(plans engine.Plans) planView { return planView{plans, sum(plans)} }

func (a *app) plan(ctx context.Context, request plan.Request) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	plans, err := e.plan(ctx, request)
	if err != nil {
		return err
	}
	if err := a.showPlans(plans); err != nil {
		return err
	}
	if sum(plans).Refused > 0 {
		err = silentExit(fault.ExitCheck)
	}
	return addUnseen(err, plans.Unseen, nil)
}

// showPlans prints plans in the format of -o.
func (a *app) showPlans(plans engine.Plans) error {
	if !a.forPeople() {
		return a.machine(viewPlans(plans))
	}
	var text strings.Builder
	complete := func(command string) string { return string(a.withFiles(command)) }
	for i, p := range plans.Plans {
		if i > 0 {
			text.WriteString("\n")
		}
		if err := plan.Text(&text, p, plan.Style{Color: a.paint(a.Out).On, Width: a.Out.width(), Command: complete, Advice: a.advice}); err != nil {
			return err
		}
	}
	for _, u := range plans.Unseen {
		text.WriteString(string(term.Sprintf("\nHypervisor %s could not be observed, so nothing is planned there.\n", u.Hypervisor)))
	}
	if a.Seen != nil && a.Seen(text.String()) {
		a.say("The plan is the same as above.\n")
		return nil
	}
	_, err := io.WriteString(a.Out, text.String())
	return err
}

// sum adds up the summaries of all hypervisors.
func sum(plans engine.Plans) plan.Summary {
	var total plan.Summary
	for _, p := range plans.Plans {
		s := p.Summary()
		total.Create += s.Create
		total.Start += s.Start
		total.Change += s.Change
		total.Restart += s.Restart
		total.Stop += s.Stop
		total.Destroy += s.Destroy
		total.Refused += s.Refused
		total.Held += s.Held
		total.Keep += s.Keep
	}
	return total
}

// empty reports whether applying the plans would do nothing.
func empty(plans engine.Plans) bool {
	for _, p := range plans.Plans {
		if !p.Empty() {
			return false
		}
	}
	return true
}

// blocked reports whether --all-or-nothing stops a plan.
func blocked(plans engine.Plans) bool {
	return slices.ContainsFunc(plans.Plans, func(p *plan.Plan) bool { return p.Blocked != "" })
}

// workersWith returns the workers whose action is one of these.
func workersWith(plans engine.Plans, actions ...plan.Action) []*plan.Worker {
	var found []*plan.Worker
	for _, p := range plans.Plans {
		for worker := range p.Workers() {
			for _, action := range actions {
				if worker.Action == action {
					found = append(found, worker)
				}
			}
		}
	}
	return found
}
