package check

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// FormatVersion is the version of the JSON form of a Report. It increases when a
// field changes its meaning or is removed, but not when a field is added.
const FormatVersion = 1

// Report is the result of a check of one host. As JSON it is the output of
// `gpuworker-host check -o json`, which other programs read as host facts.
type Report struct {
	Version int    `json:"version"`         // FormatVersion
	Tool    string `json:"tool"`            // version of the program
	Taken   string `json:"taken,omitempty"` // time of the check by the host's clock, RFC 3339; "" when unknown
	Host    string `json:"host,omitempty"`  // short name of the host, the same as its Proxmox node
	System  System `json:"system"`

	// Now and AfterReboot are the worst verdicts of the host's own findings, without
	// those of its cards. Pass means that the host itself is ready.
	Now         finding.Verdict `json:"now"`
	AfterReboot finding.Verdict `json:"afterReboot"`

	// Findings are about the host as a whole, by layer.
	Findings []Finding `json:"findings"`
	// NotEvaluated are the layers that were not checked because one below them fails.
	NotEvaluated []finding.Layer `json:"notEvaluated,omitempty"`

	Cards []Card `json:"cards"` // by address
}

// System is what the host runs and how it starts.
type System struct {
	Name       string `json:"name,omitempty"`       // "Debian GNU/Linux 13 (trixie)"
	Kernel     string `json:"kernel,omitempty"`     // release, as uname -r
	Proxmox    bool   `json:"proxmox,omitempty"`    // the host runs Proxmox VE
	BootLoader string `json:"bootLoader,omitempty"` // "grub", "systemd-boot"; "" when unknown
	Root       bool   `json:"root"`                 // all files could be read that only root may read
	Uptime     int64  `json:"uptime,omitempty"`     // seconds between the start of the host and the check; 0 when unknown
}

// Card is the result for one card: all functions of its slot.
type Card struct {
	BDF    pci.BDF `json:"bdf"` // of the GPU function
	ID     pci.ID  `json:"id"`
	Name   string  `json:"name,omitempty"`
	Driver string  `json:"driver"` // of the GPU; "" when no driver has it
	Group  int     `json:"group"`  // IOMMU group, -1 without one

	// Now and AfterReboot are the worst verdicts of the card's and the host's findings.
	// Pass means that a VM can use the card.
	Now         finding.Verdict `json:"now"`
	AfterReboot finding.Verdict `json:"afterReboot"`

	Findings     []Finding       `json:"findings"`
	NotEvaluated []finding.Layer `json:"notEvaluated,omitempty"`
}

// Finding is one conclusion. Verdict is the verdict now.
type Finding struct {
	finding.Finding
	AfterReboot finding.Verdict `json:"afterReboot"`
	Evidence    []Evidence      `json:"evidence,omitempty"`
	// Then says how to see that the fix worked.
	Then string `json:"then,omitempty"`
}

// Evidence is the content of a file of the host.
type Evidence struct {
	File string `json:"file"`           // absolute
	Says string `json:"says,omitempty"` // its content, shortened, or why it could not be read
}

// Failed reports whether anything fails now, of the host or of a card.
func (r *Report) Failed() bool {
	return r.Now == finding.Fail || slices.ContainsFunc(r.Cards, func(c Card) bool { return c.Now == finding.Fail })
}

// worst combines verdicts: Fail if any is Fail, else Unknown if any is Unknown, else
// Pass. Info counts as Pass.
func worst(verdicts ...finding.Verdict) finding.Verdict {
	switch {
	case slices.Contains(verdicts, finding.Fail):
		return finding.Fail
	case slices.Contains(verdicts, finding.Unknown):
		return finding.Unknown
	}
	return finding.Pass
}

// sum returns the worst verdicts of findings now and after a reboot. If layers were
// skipped, the state after a reboot is unknown.
func sum(findings []Finding, skipped bool) (now, after finding.Verdict) {
	now, after = finding.Pass, finding.Pass
	if skipped {
		after = finding.Unknown
	}
	for _, f := range findings {
		now, after = worst(now, f.Verdict), worst(after, f.AfterReboot)
	}
	return now, after
}
