package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

func (a *app) adoptCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "adopt VM --as NAME",
		Short: "Take an existing VM over as a worker",
		Long: `Take over a VM that was made by hand as the worker NAME of a declared pool. Its
owner tag and note are written and its card, if it has one, is claimed; it goes
on running. From then on gpuworker cares for it like for any other.

The VM must hold exactly one card that the pool declares, or none for a pool
without GPUs.`,
		Example:           `  gpuworker adopt 204 --as gpu-workers-2 -f lab.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneArgument(a.complete(foreignVMs)),
	}
	cmd.Flags().StringVar(&name, "as", "", "`NAME` of the worker that the VM becomes, <pool>-<number>")
	_ = cmd.RegisterFlagCompletionFunc("as", a.complete(missingNames))
	return a.namedCommand(cmd, modeOf(plan.AdoptVM), func(args []string) (plan.Request, error) {
		switch {
		case args[0] == "":
			return plan.Request{}, usage("the identifier of the VM is missing; write it as in: gpuworker adopt 204 --as gpu-workers-2")
		case name == "":
			return plan.Request{}, usage("--as is missing: say which worker VM %s becomes, as in: %s", args[0], shell.Command("gpuworker adopt %s --as gpu-workers-2", args[0]))
		}
		return plan.Request{Verb: plan.AdoptVM, VM: args[0], Workers: []string{name}}, nil
	})
}
