package guest

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/finding"
)

// Status is what gpuworker-guest writes about its guest.
type Status struct {
	Version int    `json:"version"`
	Program string `json:"program"` // version of gpuworker-guest
	UUID    string `json:"uuid"`    // SMBIOS UUID of the VM
	BootID  string `json:"bootID"`  // /proc/sys/kernel/random/boot_id
	OS      string `json:"os"`      // ID and VERSION_ID of os-release: "ubuntu 24.04"
	Kernel  string `json:"kernel"`  // "6.8.0-45-generic"

	Steps    []Step            `json:"steps"`
	Findings []finding.Finding `json:"findings"`
	Driver   *Driver           `json:"driver,omitempty"` // nil without a loaded driver
	GPUs     []SeenGPU         `json:"gpus"`
	// Ready reports whether all is true that the driver strategy can promise before a
	// join. gpuworker-guest gate looks again, it does not read this.
	Ready   bool      `json:"ready"`
	Updated time.Time `json:"updated"`
}

// UpdatedText is when the status was written, in RFC 3339; "" when that is not known.
func (s *Status) UpdatedText() string {
	if s.Updated.IsZero() {
		return ""
	}
	return s.Updated.UTC().Format(time.RFC3339)
}

// Step is the progress of one step of the bootstrap.
type Step struct {
	Name    string    `json:"name"`
	Key     string    `json:"key"` // what it was done for: a step with another key is done again
	State   StepState `json:"state"`
	Tries   int       `json:"tries,omitempty"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Problem string    `json:"problem,omitempty"` // of the last try
	Fix     string    `json:"fix,omitempty"`
}

// StepState is the state of a step.
type StepState string

// The states of a step. A failed step is tried again at the next boot or command.
const (
	StepPending StepState = "Pending"
	StepRunning StepState = "Running"
	StepDone    StepState = "Done"
	StepFailed  StepState = "Failed"
	StepSkipped StepState = "Skipped" // not needed with these orders
)

// Driver is the loaded NVIDIA driver.
type Driver struct {
	Version string `json:"version"` // "580.95.05"
	Open    bool   `json:"open"`    // the open kernel modules
}

// SeenGPU is a GPU that the guest has.
type SeenGPU struct {
	BDF   string `json:"bdf"` // in the guest
	ID    string `json:"id"`  // "10de:1eb8"
	Model string `json:"model,omitempty"`
	UUID  string `json:"uuid,omitempty"` // "GPU-…"; "" without a driver
}
