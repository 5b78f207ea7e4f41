package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
)

func (a *app) replaceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replace NAME…",
		Short: "Destroy workers and make them anew, with the same card",
		Long: `Destroy the named workers and create them again from the template, on the same
host and with the same card. The disks of the old VMs are lost. The card is
given free before it is taken, so a GPU worker is away in between; the result
says for how long.

This is a dry run unless --yes is given.`,
		Example: `  gpuworker replace gpu-workers-1 -f lab.yaml          what would happen
  gpuworker replace gpu-workers-1 -f lab.yaml --yes    do it`,
		Args: cobra.MinimumNArgs(1),
	}
	return a.careCommand(cmd, "", func(ctx context.Context, e Engine, names []string) (engine.Plans, error) {
		return e.PlanReplace(ctx, names, engine.PlanOptions{})
	})
}
