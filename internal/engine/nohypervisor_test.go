package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// TestDocumentsWithoutAHypervisorAreRefused: by every command that needs one.
func TestDocumentsWithoutAHypervisorAreRefused(t *testing.T) {
	_, rest, _ := strings.Cut(header, "---")
	e := openEngine(decode(t, strings.TrimSuffix(strings.TrimSpace(rest), "---")), "ops@desk", nil)
	ctx := context.Background()
	errs := map[string]error{}
	for _, request := range []plan.Request{
		{Verb: plan.ApplyDocuments}, {Verb: plan.ReplaceWorkers, Workers: []string{"gpu-1"}}, {Verb: plan.DeleteWorkers, Workers: []string{"gpu-1"}},
		{Verb: plan.ParkWorkers, Workers: []string{"gpu-1"}}, {Verb: plan.UnparkWorkers, Workers: []string{"gpu-1"}},
		{Verb: plan.AdoptVM, VM: "204", Workers: []string{"gpu-1"}}, {Verb: plan.DisownWorkers, Workers: []string{"gpu-1"}}, {Verb: plan.ReleaseOrphans},
	} {
		_, errs[string(request.Verb)] = e.ask(ctx, request)
	}
	_, errs["status"] = e.Status(ctx)
	_, errs["check"] = e.Check(ctx)
	_, errs["gpus"] = e.Observe(ctx, false)
	_, errs["export"] = e.Export(ctx)
	for verb, err := range errs {
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no Hypervisor") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
