// Command pvesim serves a simulated Proxmox VE cluster over HTTPS, and captures real
// clusters as world files for it.
//
//	pvesim -world testdata/worlds/homelab.yaml -listen 127.0.0.1:8006
//	pvesim capture -endpoint https://pve1.example.org:8006 -o world.yaml
package main

import (
	"os"

	"github.com/gpuworker/gpuworker/cmd/pvesim/app"
)

func main() { os.Exit(app.Main()) }
