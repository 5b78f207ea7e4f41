package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) applyCommand() *cobra.Command {
	request := plan.Request{Verb: plan.ApplyDocuments}
	s := modeOf(plan.ApplyDocuments)
	file := ""
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Create and change workers as the documents declare",
		Long: `Show the plan, ask for confirmation, and carry it out, several workers at a time.

Before it changes anything, apply observes the hypervisors again. If a change
there leads to another plan, apply stops and says so. It can be interrupted at
any time, even by a power cut: run the same command again, and it does the rest.

apply never destroys or replaces semi-persistent workers, unless --plan is a plan
that delete or replace wrote. Changes that need a restart of such a worker are
held until --allow-restart is given.

With --plan, apply carries out a plan that any command wrote with -o json, on
this or another machine. It makes the plan again from the request and the
documents in the file. If the result differs, nothing is done. It asks, or needs
--yes, in the same cases as the command that wrote the plan. A plan that was
interrupted can be applied again. With -f or GPUWORKER_FILE, the Hypervisors and
KubeClusters in the plan must be those of your documents. Without -f, the file
must belong to you and nobody else may have write permission, because it decides
to which address your credentials are sent.`,
		Example: `  gpuworker apply -f lab.yaml
  gpuworker apply -f lab.yaml --yes --all-or-nothing -o json
  gpuworker plan -f lab.yaml -o json > p.json; gpuworker apply --plan p.json --yes`,
	}
	cmd.RunE = verb(func(ctx context.Context, _ []string) error {
		switch given := cmd.Flags().Changed("plan"); {
		case given && file == "":
			return usage("--plan has no file name; without --plan, apply makes its own plan")
		case given:
			return a.applyFile(ctx, file, request, *s)
		}
		e, err := a.engine(ctx)
		if err != nil {
			return err
		}
		plans, err := e.plan(ctx, request)
		if err != nil {
			return err
		}
		return a.confirmAndApply(ctx, e, plans, *s)
	})
	addPlanFlags(cmd, &request)
	cmd.Flags().StringVar(&file, "plan", "", "carry out the plan in `FILE`, written with -o json")
	a.addModeFlags(cmd, s)
	return cmd
}
