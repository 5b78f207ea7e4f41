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
		Short: "Take over an existing VM as a worker",
		Long: `Take over an existing VM as the worker NAME of a declared pool. gpuworker writes
its owner tag and record to the VM and claims the VM's card, if it has one. The
VM keeps running. From then on gpuworker manages it like any other worker.

The VM must have exactly one card, which the pool declares. For a pool without
GPUs it must have none.`,
		Example:           `  gpuworker adopt 204 --as gpu-workers-2 -f lab.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneArgument(a.complete(foreignVMs)),
	}
	cmd.Flags().StringVar(&name, "as", "", "`NAME` of the worker that the VM becomes: <pool>-<number>, or one of the pool's names")
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
