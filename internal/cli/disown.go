package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) disownCommand() *cobra.Command {
	return a.workersCommand(plan.DisownWorkers, &cobra.Command{
		Use:   "disown NAME…",
		Short: "Stop managing workers and leave their VMs as they are",
		Long: `Remove the owner tag, the record and the claim on the card from the named
workers. This is the opposite of "gpuworker adopt". The VMs stay as they are:
running or stopped, with disks, card and name. gpuworker does not touch them any
more. A name that does not exist, or whose VM gpuworker does not own, counts as
done.

Remove the workers from the documents first. Otherwise the next apply tries to
create them again, and finds that their names are already in use.`,
		Example: `  gpuworker disown gpu-workers-2 -f lab.yaml`,
	})
}
