// Package worlds holds worlds for the simulator, embedded for programs that
// run without a checkout.
package worlds

import _ "embed"

// Homelab is a small cluster: three hosts, five GPUs of two models, one that
// shares its IOMMU group with a network card, one host with its IOMMU off.
//
//go:embed homelab.yaml
var Homelab []byte
