package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the documents, for editors",
		Long: `Print the JSON Schema of the documents. An editor with a YAML language server
completes and checks fields if the first line of the file is:

  # yaml-language-server: $schema=./gpuworker.schema.json`,
		Example: `  gpuworker schema > gpuworker.schema.json`,
		RunE: verb(func(context.Context, []string) error {
			_, err := a.Out.Write(v1alpha1.Schema())
			return err
		}),
	}
}
