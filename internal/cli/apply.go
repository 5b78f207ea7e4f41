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
		Short: "Bring the world to what the documents say",
		Long: `Show the plan, ask, and carry it out, several workers at a time.

Just before it acts, apply looks at the world again; when that changed in a way
that matters it stops and says so. It can be interrupted at any moment, even by
a power cut: run the same command again and it goes on with what remains.

Semi-persistent workers are never destroyed or replaced by apply. Changes that
need a stop and start of one wait for --allow-restart.

With --plan it carries out a plan that any verb wrote with -o json, in this or in
another place. The plan is made again from the request and the documents in the
file: when it comes out differently, nothing is done. It is shown, and asks or
waits for --yes, as the verb itself does. A plan that was interrupted can be
applied again. With -f or GPUWORKER_FILE the Hypervisors and KubeClusters in the
file must be those of the documents; without, the file must be yours and writable
by nobody else, for its Hypervisors say where logins are sent.`,
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
	cmd.Flags().StringVar(&file, "plan", "", "carry out the plan in `FILE`, which -o json wrote")
	s.addFlags(cmd)
	return cmd
}
