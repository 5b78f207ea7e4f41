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
		Short: "Destroy workers and make them anew, with the same card",
		Long: `Destroy the named workers and create them again from the template: a worker with
a card on the same host and with the same card, a plain one on the same host
when it fits there. The disks of the old VMs are lost. The card is given free
before it is taken, so a GPU worker is away in between; the result says for how
long. A declared worker whose VM is gone is made.

When a replace was interrupted, the same command finishes it: the new VM is not
destroyed again. After that, the command means the VM that is there now. It asks
on a terminal; elsewhere it is a dry run unless --yes is given. --yes does not
cover a VM that a replace made less than an hour ago: name that VM with --vm.
With --vm the command can be repeated at any time: when that VM is gone, nothing
is destroyed.`,
		Example: `  gpuworker replace gpu-workers-1 -f lab.yaml          what would happen
  gpuworker replace gpu-workers-1 -f lab.yaml --yes    do it
  gpuworker replace gpu-1 -f lab.yaml --vm 0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringArrayVar(&vms, "vm", nil, "`UUID` of the VM that is to go; once for each name, in the same order")
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
