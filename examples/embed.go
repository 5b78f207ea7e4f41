// Package examples holds documents to start from, embedded for programs that
// run without a checkout.
package examples

import _ "embed"

// Homelab declares a pool of GPU workers and a pool of plain ones.
//
//go:embed homelab.yaml
var Homelab []byte
