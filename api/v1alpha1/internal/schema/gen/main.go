// Command gen writes schema.json of the package in the working directory. It
// is run by go generate.
package main

import (
	"fmt"
	"os"

	"github.com/gpuworker/gpuworker/api/v1alpha1/internal/schema"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: gen GROUP/VERSION KIND…")
		os.Exit(2)
	}
	data, err := schema.Generate(".", os.Args[1], os.Args[2:]...)
	if err == nil {
		err = os.WriteFile("schema.json", data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
