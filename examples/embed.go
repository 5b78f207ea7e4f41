// Package examples embeds example documents, for programs that run outside of the
// repository.
package examples

import _ "embed"

// Homelab declares a pool of GPU workers and a pool of workers without GPUs.
//
//go:embed homelab.yaml
var Homelab []byte
