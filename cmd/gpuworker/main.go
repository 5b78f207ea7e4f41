// Command gpuworker turns NVIDIA GPUs in Proxmox VE hosts into Kubernetes
// worker VMs.
package main

import (
	"os"

	"github.com/gpuworker/gpuworker/cmd/gpuworker/app"
)

func main() { os.Exit(app.Main()) }
