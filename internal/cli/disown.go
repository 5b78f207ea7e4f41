package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) disownCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disown NAME…",
		Short: "Forget workers and leave their VMs as they are",
		Long: `Take owner tag, record and the claim on its card off the named workers' VMs, the
opposite of "gpuworker adopt". The VMs stay as they are: running or stopped, with
disks, card and name. gpuworker does not touch them any more. A name of which
nothing is there is done already, and so is one whose VM is not gpuworker's.

Take the workers out of the documents first: the next apply would want to make
them anew, and find their names taken.`,
		Example: `  gpuworker disown gpu-workers-2 -f lab.yaml`,
		Args:    cobra.MinimumNArgs(1),
	}
	return a.namedCommand(cmd, modeOf(plan.DisownWorkers), func(names []string) (plan.Request, error) {
		return plan.Request{Verb: plan.DisownWorkers, Workers: names}, nil
	})
}
