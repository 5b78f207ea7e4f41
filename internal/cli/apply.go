package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
)

func (a *app) applyCommand() *cobra.Command {
	var options engine.PlanOptions
	var s spending
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Bring the world to what the documents say",
		Long: `Show the plan, ask, and carry it out, several workers at a time.

Just before it acts, apply looks at the world again; when that changed in a way
that matters it stops and says so. It can be interrupted at any moment, even by
a power cut: run the same command again and it goes on with what remains.

Semi-persistent workers are never destroyed or replaced by apply. Changes that
need a stop and start of one wait for --allow-restart.`,
		Example: `  gpuworker apply -f lab.yaml
  gpuworker apply -f lab.yaml --yes --all-or-nothing -o json`,
		RunE: verb(func(ctx context.Context, _ []string) error {
			e, err := a.engine(ctx)
			if err != nil {
				return err
			}
			plans, err := e.Plan(ctx, options)
			if err != nil {
				return err
			}
			return a.spend(ctx, e, plans, s)
		}),
	}
	addPlanFlags(cmd, &options)
	s.question = "Apply this plan?"
	s.addFlags(cmd)
	return cmd
}
