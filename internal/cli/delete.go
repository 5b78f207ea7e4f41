package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) deleteCommand() *cobra.Command {
	return a.workersCommand(plan.DeleteWorkers, &cobra.Command{
		Use:   "delete NAME…",
		Short: "Destroy workers and release their cards",
		Long: `Destroy the named workers with their disks and release their cards. A
semi-persistent worker is destroyed only by "delete", by "replace", or by
"apply --plan" with a plan that one of these two wrote. The worker need not be
declared any more. "delete" destroys only VMs that gpuworker verifiably owns.

A name that does not exist counts as deleted. The command is a dry run unless
--yes is given. The next apply creates a worker again if it is still declared, so
remove it from the documents first.`,
		Example: `  gpuworker delete gpu-workers-2 -f lab.yaml          # dry run
  gpuworker delete gpu-workers-2 -f lab.yaml --yes    # delete it`,
	})
}
