package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
)

func (a *app) replaceCommand() *cobra.Command {
	var vms []string
	cmd := &cobra.Command{
		Use:   "replace NAME…",
		Short: "Destroy workers and create them again, with the same card",
		Long: `Destroy the named workers and create them again from the template. A GPU worker
gets the same host and card. A plain worker gets the same host if it fits there.
The disks of the old VMs are lost. The old VM releases the card before the new
one takes it; the result says how long a GPU worker was unavailable. A declared
worker without a VM is created.

After an interrupt, run the same command again: it finishes the replace and does
not destroy the new VM. If you run it once more, it replaces the new VM.

It asks for confirmation on a terminal. Without a terminal it is a dry run unless
--yes is given. With --yes, a VM that an earlier replace made less than an hour ago
is not destroyed unless you name it with --vm. With --vm the command is safe to
repeat: if that VM no longer exists, nothing is destroyed.`,
		Example: `  gpuworker replace gpu-workers-1 -f lab.yaml          # dry run, or ask
  gpuworker replace gpu-workers-1 -f lab.yaml --yes    # replace it
  gpuworker replace gpu-1 -f lab.yaml --vm 0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringArrayVar(&vms, "vm", nil, "`UUID` of the VM to destroy; once for each name, in the same order")
	s := modeOf(plan.ReplaceWorkers)
	return a.namedCommand(cmd, s, func(names []string) (plan.Request, error) {
		for i := range vms {
			vms[i] = strings.ToLower(vms[i])
			if !uuidForm.MatchString(vms[i]) {
				return plan.Request{}, usage("--vm %q is not the UUID of a VM; gpuworker status -o json shows them", vms[i])
			}
		}
		unique := slices.Compact(slices.Sorted(slices.Values(names)))
		if len(vms) > 0 && (len(vms) != len(names) || len(unique) != len(names)) {
			return plan.Request{}, usage("--vm is given once for each name, in the same order: there are %d names and %d --vm", len(unique), len(vms))
		}
		if len(vms) == 0 {
			a.replacedByName = names
		}
		return plan.Request{Verb: plan.ReplaceWorkers, Workers: names, UUIDs: vms, KeepRecent: s.yes}, nil
	})
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
