package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) demoCommand() *cobra.Command {
	keep := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show check, plan, apply and status against a simulator",
		Long: `Start a simulated Proxmox VE cluster in this process and run check, plan, apply,
status and a second apply against it. It needs no hardware, no network and no
root, and changes nothing outside this process.`,
		Example: `  gpuworker demo
  gpuworker demo --keep     # leave the simulator running, to try things out`,
		RunE: verb(func(ctx context.Context, _ []string) error {
			return a.Demo(ctx, DemoRequest{Keep: keep, Program: a.Program, Color: a.paint(a.Out).On})
		}),
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the simulator running until Ctrl-C")
	return cmd
}
