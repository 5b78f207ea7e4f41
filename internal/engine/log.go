package engine

import (
	"log/slog"
	"time"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// logLook logs the observation of a hypervisor.
func (e *Engine) logLook(hypervisor string, s *inventory.Snapshot, took time.Duration, err error) {
	if err != nil {
		e.options.Log.Info("look", "outcome", "failed", "kind", string(fault.KindOf(err)), "took", took, "hypervisor", hypervisor, "error", err)
		return
	}
	e.options.Log.Info("look", "outcome", "done", "took", took, "hypervisor", hypervisor,
		"product", s.Product, "version", s.Version, "hosts", len(s.Hosts), "vms", len(s.VMs))
}

// logBegin logs the beginning of an apply: by whom, on which world, and with which record
// version.
func (e *Engine) logBegin(request plan.Request, p *plan.Plan) {
	workers := 0
	for worker := range p.Workers() {
		if len(worker.Steps) > 0 {
			workers++
		}
	}
	e.options.Log.Info("begin", "verb", string(request.Verb), "by", e.options.By, "hypervisor", p.Hypervisor,
		"workers", workers, "fingerprint", p.Fingerprint, "record-version", inventory.RecordVersion)
}

// logEnd logs the result of an apply.
func (e *Engine) logEnd(result apply.Result, err error) {
	outcome, failed := "done", len(result.Failed())
	if err != nil || failed > 0 {
		outcome = "failed"
	}
	attrs := []any{"outcome", outcome, "took", result.Took, "hypervisor", result.Hypervisor, "workers", len(result.Outcomes), "failed", failed}
	if err != nil {
		attrs = append(attrs, slog.String("kind", string(fault.KindOf(err))), slog.String("error", err.Error()))
	}
	e.options.Log.Info("end", attrs...)
}
