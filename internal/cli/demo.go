package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) demoCommand() *cobra.Command {
	keep := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the whole story against a simulator",
		Long: `Start a simulated Proxmox VE cluster inside this process and go through check,
plan, apply, status and a second apply. Nothing outside this process is touched:
no hardware, no network, no root.`,
		Example: `  gpuworker demo
  gpuworker demo --keep     leave the simulator running, to play with`,
		RunE: verb(func(ctx context.Context, _ []string) error {
			return a.Demo(ctx, DemoRequest{Keep: keep, Program: a.Program, Color: a.paint(a.Out).On})
		}),
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the simulator running until Ctrl-C")
	return cmd
}
