package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) unparkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "unpark NAME…",
		Short:   "Start parked workers again",
		Long:    `Start the named workers that were stopped with "gpuworker park".`,
		Example: `  gpuworker unpark gpu-workers-1 -f lab.yaml`,
		Args:    cobra.MinimumNArgs(1),
	}
	return a.namedCommand(cmd, modeOf(plan.UnparkWorkers), func(names []string) (plan.Request, error) {
		return plan.Request{Verb: plan.UnparkWorkers, Workers: names}, nil
	})
}
