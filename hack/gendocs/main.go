// Command gendocs generates docs/reference from the code: the documents from their JSON
// Schema; commands, exit codes and findings from the command line program. `make docs`
// runs it in the root of the repository; a test checks that the files are up to date.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/fault"
)

func main() {
	dir := filepath.Join("docs", "reference")
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// write writes all pages of the reference to dir, which must exist.
func write(dir string, complaints io.Writer) error {
	page, err := documents(v1alpha1.Schema())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "documents.md"), page, 0o644); err != nil {
		return fmt.Errorf("run it in the root of the repository: %w", err)
	}
	program := cli.Program{
		Streams: cli.Streams{Out: cli.Stream{Writer: io.Discard}, Err: cli.Stream{Writer: complaints}},
		// The demo is documented, but never runs here.
		Demo: func(context.Context, cli.DemoRequest) error { return nil },
	}
	if code := program.Run(context.Background(), []string{"docs", dir}); code != fault.ExitOK {
		return fmt.Errorf("gpuworker docs %s ended with exit code %d", dir, code)
	}
	return nil
}
