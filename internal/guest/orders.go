package guest

import "github.com/gpuworker/gpuworker/internal/driver"

// Orders are what the engine wants of one guest.
type Orders struct {
	Version int    `json:"version"`
	Program string `json:"program"` // version of the gpuworker that wrote them
	Worker  string `json:"worker"`
	// UUID is the SMBIOS UUID of the VM. Orders for another VM are refused: a clone of a
	// worker must not continue as that worker.
	UUID   string       `json:"uuid"`
	Driver driver.Order `json:"driver"`
	// GPU is the card of the VM; nil for a plain worker.
	GPU *GPU `json:"gpu,omitempty"`
}

// GPU is the card that a guest must have.
type GPU struct {
	ID string `json:"id"` // "10de:1eb8"
	// UUID is the identity that was recorded at the first proven boot, "GPU-…"; "" before
	// it, when any single GPU is accepted.
	UUID string `json:"uuid,omitempty"`
}
