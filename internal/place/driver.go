package place

import (
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// CheckDriver checks whether the declared driver works with a card. Without a driver, or
// when all is known and works, there is no finding.
func CheckDriver(s *inventory.Snapshot, h *inventory.Host, d pci.Device, declared driver.Request) []finding.Finding {
	gpu, ok := d.GPU()
	if !ok {
		return nil
	}
	var findings []finding.Finding
	for _, p := range declared.CheckCard(gpu.ID) {
		f := finding.New(finding.CardDriver, finding.Fail, atCard(s, h.Name, d)).WithReason(p.Reason)
		switch {
		case p.Kind == driver.Unknown:
			f = f.As(finding.CardDriverUnknown)
			f.Verdict = finding.Unknown
		case p.Kind == driver.Notice:
			f.Verdict = finding.Info
		}
		if p.Field == driver.FieldNVLink {
			f = f.As(finding.CardNVLink)
		}
		if p.Fix != "" {
			f.Fix = "spec." + p.Field + ": " + p.Fix
		}
		findings = append(findings, f)
	}
	return findings
}

// suits reports whether nothing prevents the declared driver on a card.
func (r *Capacity) suits(host *inventory.Host, device pci.Device, declared driver.Request) bool {
	blocking, _ := Split(CheckDriver(r.world, host, device, declared))
	return len(blocking) == 0
}
