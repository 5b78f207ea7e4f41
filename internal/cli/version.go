package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: `  gpuworker version -o json`,
		RunE: verb(func(context.Context, []string) error {
			v := buildinfo.This()
			if !a.forPeople() {
				return a.machine(v)
			}
			fmt.Fprintln(a.Out, v.Line("gpuworker"))
			return nil
		}),
	}
}
