package cli

import (
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
)

func (a *app) acceptCommand() *cobra.Command {
	gpu := ""
	cmd := &cobra.Command{
		Use:   "accept NAME --gpu-uuid GPU-…",
		Short: "Record another GPU for a worker, after its card was exchanged",
		Long: `Record that the worker NAME has the GPU with this identity from now on. The
identity of a GPU is recorded when its guest is proven for the first time, and
compared at each start: with another card in its slot, the worker is not ready.

"gpuworker status NAME" shows the recorded identity and the one that the guest
has; "nvidia-smi -L" in the guest prints it.`,
		Example: `  gpuworker accept gpu-1 --gpu-uuid GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689`,
		Args:    cobra.ExactArgs(1), ValidArgsFunction: oneArgument(a.complete(workerNames)),
	}
	cmd.Flags().StringVar(&gpu, "gpu-uuid", "", "identity of the GPU, `GPU-…`, as nvidia-smi -L prints it")
	return a.namedCommand(cmd, modeOf(plan.AcceptGPU), func(args []string) (plan.Request, error) {
		switch {
		case gpu == "":
			return plan.Request{}, usage("--gpu-uuid is missing: say which GPU the worker has now; status shows it: %s", shell.Command("gpuworker status %s", args[0]))
		case !plan.IsGPU(gpu):
			return plan.Request{}, usage("--gpu-uuid %q is not the identity of a GPU; copy it from nvidia-smi -L in the guest, with GPU- and in lower case", gpu)
		}
		return plan.Request{Verb: plan.AcceptGPU, Workers: args, GPU: gpu}, nil
	})
}
