package guest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/term"
)

// Template is the marker that gpuworker-guest seal writes into a template. Its clones
// have it too.
type Template struct {
	Version int       `json:"version"`
	Program string    `json:"program"` // version of gpuworker-guest
	Kind    Flavour   `json:"kind"`
	Driver  string    `json:"driver,omitempty"` // version of the installed driver
	Kernel  string    `json:"kernel"`           // that ran when it was sealed
	OS      string    `json:"os"`               // "ubuntu 24.04"
	Arch    string    `json:"arch"`             // "amd64"
	Sealed  time.Time `json:"sealed,omitzero"`
	// MachineID and CattleID are the SHA-256, in hexadecimal, of the identities that the
	// template had before it was sealed; "" for none. A clone must not have them.
	MachineID string `json:"machineID,omitempty"`
	CattleID  string `json:"cattleID,omitempty"`
}

// Flavour is the kind of NVIDIA's kernel modules.
type Flavour string

// The flavours.
const (
	NoDriver    Flavour = "none"
	Open        Flavour = "open"
	Proprietary Flavour = "proprietary"
)

// ParseTemplate reads a marker. It is bounded and its texts are safe to print.
func ParseTemplate(data []byte) (*Template, error) {
	if len(data) > MaxStatus {
		return nil, fmt.Errorf("read the template's marker: %w", errTooLong)
	}
	var t Template
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("read the template's marker: %w", plain(err))
	}
	if t.Version < 1 || t.Version > Version {
		return nil, fmt.Errorf("read the template's marker: it has version %d, and this program knows version %d", t.Version, Version)
	}
	t = term.CleanAll(t)
	return &t, nil
}
