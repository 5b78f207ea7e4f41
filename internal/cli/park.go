package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) parkCommand() *cobra.Command {
	return a.workersCommand(plan.ParkWorkers, &cobra.Command{
		Use:   "park NAME…",
		Short: "Stop workers and keep their cards reserved",
		Long: `Shut down the named workers and mark them as parked. They keep their VMs, disks
and cards, and apply leaves them stopped until "gpuworker unpark".`,
		Example: `  gpuworker park gpu-workers-1 -f lab.yaml`,
	})
}

func (a *app) unparkCommand() *cobra.Command {
	return a.workersCommand(plan.UnparkWorkers, &cobra.Command{
		Use:     "unpark NAME…",
		Short:   "Start parked workers again",
		Long:    `Start the named workers that were stopped with "gpuworker park".`,
		Example: `  gpuworker unpark gpu-workers-1 -f lab.yaml`,
	})
}
