package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
)

// The verbs for single workers all work alike: a plan for the workers named,
// shown, and carried out when a person agreed.

// careCommand completes a command that makes a plan for named workers.
func (a *app) careCommand(cmd *cobra.Command, question string, make func(ctx context.Context, e Engine, args []string) (engine.Plans, error)) *cobra.Command {
	s := spending{question: question}
	s.addFlags(cmd)
	cmd.RunE = verb(func(ctx context.Context, args []string) error {
		e, err := a.engine(ctx)
		if err != nil {
			return err
		}
		plans, err := make(ctx, e, args)
		if err != nil {
			return err
		}
		return a.spend(ctx, e, plans, s)
	})
	return cmd
}
