// Package worlds embeds world files for the simulator, for programs that run
// outside of the repository.
package worlds

import _ "embed"

// Homelab is a small cluster: three hosts and five GPUs of two models. One GPU
// shares its IOMMU group with a network card; one host has its IOMMU off.
//
//go:embed homelab.yaml
var Homelab []byte
