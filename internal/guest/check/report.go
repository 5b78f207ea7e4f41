// Package check judges what a guest shows: the card, the driver, and what may break them.
// It is pure: package look reads the guest before.
package check

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
)

// FormatVersion is the version of the JSON form of a Report. It increases when a field
// changes its meaning or is removed, but not when a field is added.
const FormatVersion = 1

// Report is the result of a check of one guest.
type Report struct {
	Version  int    `json:"version"`          // FormatVersion
	Tool     string `json:"tool"`             // version of the program
	Taken    string `json:"taken,omitempty"`  // time of the check by the guest's clock, RFC 3339; "" when unknown
	Worker   string `json:"worker,omitempty"` // "" without orders for this VM
	Strategy string `json:"driver,omitempty"` // driver strategy of the orders
	System   System `json:"system"`

	Verdict finding.Verdict `json:"verdict"` // the worst one of all findings
	// Ready reports whether all is true that the driver strategy can promise before a
	// join. Findings that do not matter for it, such as failed modules of cloud-init, may
	// still fail.
	Ready    bool      `json:"ready"`
	Findings []Finding `json:"findings"`
	// NotEvaluated are the layers that were not checked because there is no card.
	NotEvaluated []finding.Layer `json:"notEvaluated,omitempty"`

	Loaded *guest.Driver   `json:"loaded,omitempty"` // the loaded driver
	GPUs   []guest.SeenGPU `json:"gpus"`
}

// System is what the guest runs.
type System struct {
	Name   string `json:"name,omitempty"` // "Ubuntu 24.04.3 LTS"
	Kernel string `json:"kernel,omitempty"`
	UUID   string `json:"uuid,omitempty"` // SMBIOS UUID of the VM; "" when it may not be read
	BootID string `json:"bootID,omitempty"`
}

// Finding is one conclusion.
type Finding struct {
	finding.Finding
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Evidence is the content of a file of the guest, or the output of a command.
type Evidence struct {
	From string `json:"from"`           // a file, absolute, or a command
	Says string `json:"says,omitempty"` // its content, shortened, or why it could not be read
}

// worst combines verdicts: Fail if any is Fail, else Unknown if any is Unknown, else Pass.
// Info counts as Pass.
func worst(findings []Finding) finding.Verdict {
	result := finding.Pass
	for _, f := range findings {
		switch f.Verdict {
		case finding.Fail:
			return finding.Fail
		case finding.Unknown:
			result = finding.Unknown
		case finding.Pass, finding.Info:
		}
	}
	return result
}

// forCard are the findings that block a join with every strategy. forDriver block it too
// when the driver must work before the join.
var (
	forCard = []finding.ID{
		finding.GuestOrders, finding.GuestNotSealed, finding.GuestNoGPU, finding.GuestExtraGPU, finding.DriverGPUUUID,
	}
	forDriver = []finding.ID{
		finding.DriverTemplateOld, finding.DriverSecureBoot, finding.DriverOtherKernel, finding.DriverMissing, finding.DriverVersion,
		finding.DriverFlavour, finding.DriverLibrary, finding.DriverGSP, finding.DriverNVLink, finding.DriverDeviceFiles,
		finding.DriverNoAnswer, finding.DriverToolkit,
	}
)

// Blocking returns the findings because of which the guest must not join yet.
func (r *Report) Blocking() []Finding {
	var blocking []Finding
	for _, f := range r.Findings {
		matters := slices.Contains(forCard, f.ID) || needsDriver(r.Strategy) && slices.Contains(forDriver, f.ID)
		if matters && f.Blocks() {
			blocking = append(blocking, f)
		}
	}
	return blocking
}

// Notable returns the findings that do not pass, without their evidence.
func (r *Report) Notable() []finding.Finding {
	notable := []finding.Finding{}
	for _, f := range r.Findings {
		if f.Verdict != finding.Pass {
			notable = append(notable, f.Finding)
		}
	}
	return notable
}
