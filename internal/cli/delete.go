package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) deleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME…",
		Short: "Destroy workers and give their cards back",
		Long: `Destroy the named workers with their disks and give their cards back. This is
the only way in which a semi-persistent worker is destroyed, and it takes
workers that no document declares any more. Only VMs that are proven to be
gpuworker's are touched.

A name of which nothing is there is done already, and the others are carried
out. This is a dry run unless --yes is given. A worker that is still declared comes
back with the next apply: take it out of the documents first.`,
		Example: `  gpuworker delete gpu-workers-2 -f lab.yaml          what would happen
  gpuworker delete gpu-workers-2 -f lab.yaml --yes    do it`,
		Args: cobra.MinimumNArgs(1),
	}
	return a.namedCommand(cmd, modeOf(plan.DeleteWorkers), func(names []string) (plan.Request, error) {
		return plan.Request{Verb: plan.DeleteWorkers, Workers: names}, nil
	})
}
