package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: `  gpuworker version -o json`,
		RunE: verb(func(context.Context, []string) error {
			if !a.forPeople() {
				return a.machine(buildinfo.This())
			}
			term.Fprintln(a.Out, versionLine())
			return nil
		}),
	}
}

// versionLine is what this program was built from, in one line.
func versionLine() term.Text { return term.Clean(buildinfo.This().Line("gpuworker")) }
