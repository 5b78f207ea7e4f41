// Command terraform-provider-gpuworker is the provider for Terraform and OpenTofu.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
)

func main() {
	debug := flag.Bool("debug", false, "let a debugger attach: print TF_REATTACH_PROVIDERS and keep running")
	flag.Parse()
	if err := provider.Serve(context.Background(), buildinfo.This().Version, *debug); err != nil {
		log.Fatal(err)
	}
}
