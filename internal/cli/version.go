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
			v := thisVersion()
			if !a.forPeople() {
				return a.machine(v)
			}
			fmt.Fprintf(a.Out, "gpuworker %s (commit %s, %s, %s)\n", v.Version, v.Commit, v.Go, v.Platform)
			return nil
		}),
	}
}

type versionView struct{ buildinfo.Info }

// thisVersion is what this binary was built from.
func thisVersion() versionView { return versionView{buildinfo.This()} }
