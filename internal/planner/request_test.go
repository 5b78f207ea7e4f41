package planner

import (
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Which requests are invalid is tested in package plan.
func TestInvalidRequestsAreRefused(t *testing.T) {
	in := lab(Observed(Host("pve1", T4("03:00"))), pool("gpu", exact("pve1", "0000:03:00.0")))
	for _, r := range []plan.Request{{}, {Verb: plan.DeleteWorkers}, {Verb: plan.AdoptVM, Workers: []string{"gpu-1"}}} {
		in.Request = r
		if p, err := Make(in); p != nil || !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v, %v", r, p, err)
		}
	}
}
