// Command gendocs generates docs/ from the schema of the provider and from examples/, as
// registries show it. `make docs` runs it. It needs no terraform: it writes the schema
// itself and gives it to tfplugindocs, at the version that tools.mod names.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
)

func main() {
	if err := generate(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// generate runs in the folder of the provider's module.
func generate(ctx context.Context) error {
	schema, err := schemaOf(ctx, provider.New("docs", io.Discard, os.Getenv))
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp("", "gendocs")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	file := filepath.Join(temporary, "schema.json")
	if err := os.WriteFile(file, schema, 0o600); err != nil {
		return err
	}
	tool := exec.CommandContext(ctx, "go", "tool", "-modfile", filepath.Join("internal", "gendocs", "tools.mod"), "tfplugindocs",
		"generate", "--provider-name", "terraform-provider-"+providerName, "--rendered-provider-name", providerName, "--providers-schema", file)
	if output, err := tool.CombinedOutput(); err != nil {
		return fmt.Errorf("tfplugindocs: %w\n%s", err, output)
	}
	return nil
}
