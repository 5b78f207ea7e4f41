package check

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// FormatVersion is the version of the JSON form of a Report. It grows when a
// field changes its meaning or goes away; new fields may come without it.
const FormatVersion = 1

// Report is what was found on one host. As JSON it is the output of
// `gpuworker-host check -o json`, and what other programs read as host facts.
type Report struct {
	Version int    `json:"version"`         // FormatVersion
	Tool    string `json:"tool"`            // version of the program that made it
	Taken   string `json:"taken,omitempty"` // when the host was looked at, by its own clock, RFC 3339; "" when nobody knows
	Host    string `json:"host,omitempty"`  // name of the host, short, as Proxmox calls its node
	System  System `json:"system"`

	// Now and AfterReboot are the worst of the host's own findings, those of its
	// cards not counted. Pass says that nothing about the host stands in the way.
	Now         finding.Verdict `json:"now"`
	AfterReboot finding.Verdict `json:"afterReboot"`

	// Findings are about the host as a whole, by layer.
	Findings []Finding `json:"findings"`
	// NotEvaluated are the layers that were not judged since one below them fails.
	NotEvaluated []finding.Layer `json:"notEvaluated,omitempty"`

	Cards []Card `json:"cards"` // by address
}

// System is what the host runs and how it starts.
type System struct {
	Name       string `json:"name,omitempty"`       // "Debian GNU/Linux 13 (trixie)"
	Kernel     string `json:"kernel,omitempty"`     // release, as uname -r
	Proxmox    bool   `json:"proxmox,omitempty"`    // it is a Proxmox VE host
	BootLoader string `json:"bootLoader,omitempty"` // "grub", "systemd-boot"; "" when it could not be told
	Root       bool   `json:"root"`                 // everything could be read that only root may read
	Uptime     int64  `json:"uptime,omitempty"`     // seconds since the host was started when it was looked at; 0 when not known
}

// Card is what was found of one card: all functions of its slot.
type Card struct {
	BDF    pci.BDF `json:"bdf"` // of the function that is the GPU
	ID     pci.ID  `json:"id"`
	Name   string  `json:"name,omitempty"`
	Driver string  `json:"driver"` // of the GPU; "" when no driver has it
	Group  int     `json:"group"`  // IOMMU group, -1 without one

	// Now and AfterReboot are the worst of the card's findings and the host's:
	// Pass says that a VM can have it.
	Now         finding.Verdict `json:"now"`
	AfterReboot finding.Verdict `json:"afterReboot"`

	Findings     []Finding       `json:"findings"`
	NotEvaluated []finding.Layer `json:"notEvaluated,omitempty"`
}

// Finding is one conclusion. Verdict is about now.
type Finding struct {
	finding.Finding
	AfterReboot finding.Verdict `json:"afterReboot"`
	Evidence    []Evidence      `json:"evidence,omitempty"`
	// Then is what will be seen when the fix has worked.
	Then string `json:"then,omitempty"`
}

// Evidence is what a file of the host says.
type Evidence struct {
	File string `json:"file"`           // absolute
	Says string `json:"says,omitempty"` // its content, trimmed, or why there is none
}

// Failed reports whether anything fails now, of the host or of a card.
func (r *Report) Failed() bool {
	return r.Now == finding.Fail || slices.ContainsFunc(r.Cards, func(c Card) bool { return c.Now == finding.Fail })
}

// worst joins verdicts: one failure fails, one unknown makes unknown, and notes
// do not count.
func worst(verdicts ...finding.Verdict) finding.Verdict {
	switch {
	case slices.Contains(verdicts, finding.Fail):
		return finding.Fail
	case slices.Contains(verdicts, finding.Unknown):
		return finding.Unknown
	}
	return finding.Pass
}

// sum is the worst of findings now and after a reboot. What was not evaluated
// is unknown after a reboot: nobody looked behind what fails now.
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
