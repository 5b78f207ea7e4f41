package cli

import (
	"errors"
	"testing"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// The place of an error is printed once.
func TestAnErrorOfAStepHasItsPlaceOnce(t *testing.T) {
	placed := &fault.Error{Kind: fault.Failed, Doing: "prove the guest", Where: fault.Place{Worker: "gpu-1", Host: "pve1", VM: "9100"}, Why: "no GPU"}
	for want, err := range map[string]error{
		"gpu-1, VM 9100 on pve1: prove the guest: no GPU": placed,
		"gpu-1: bootstrap: broken":                        errors.New("broken"),
	} {
		text := startingWith("gpu-1", troubleText(apply.Outcome{Worker: "gpu-1", Step: plan.StepBootstrap, Err: err}))
		if text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}
