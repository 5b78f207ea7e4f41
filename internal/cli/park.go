package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) parkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "park NAME…",
		Short: "Stop workers and keep their cards reserved",
		Long: `Shut down the named workers and mark them as parked. They keep their VMs, disks
and cards, and apply leaves them stopped until "gpuworker unpark".`,
		Example: `  gpuworker park gpu-workers-1 -f lab.yaml`,
		Args:    cobra.MinimumNArgs(1),
	}
	return a.namedCommand(cmd, modeOf(plan.ParkWorkers), func(names []string) (plan.Request, error) {
		return plan.Request{Verb: plan.ParkWorkers, Workers: names}, nil
	})
}
