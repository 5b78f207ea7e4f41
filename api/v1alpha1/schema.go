package v1alpha1

import (
	"bytes"
	_ "embed"
)

//go:generate go run ./internal/schema/gen gpuworker.io/v1alpha1 Hypervisor KubeCluster WorkerPool

//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema (draft 2020-12) of a document, for editors and other
// tools. It checks less than Validate: only one document, and no rule about several fields.
func Schema() []byte { return bytes.Clone(schemaJSON) }
