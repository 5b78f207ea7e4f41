package plan

import (
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// A request may come from a file and have any content.
func TestInvalidRequestsAreRefused(t *testing.T) {
	uuid, one := UUID(9100), []string{"gpu-1"}
	for name, r := range map[string]Request{
		"no verb":                      {},
		"an unknown verb":              {Verb: "format"},
		"more UUIDs than workers":      {Verb: ReplaceWorkers, Workers: one, UUIDs: []string{uuid, uuid}},
		"fewer UUIDs than workers":     {Verb: ReplaceWorkers, Workers: []string{"a-1", "a-2"}, UUIDs: []string{uuid}},
		"an invalid UUID":              {Verb: ReplaceWorkers, Workers: one, UUIDs: []string{"x\nworker=y"}},
		"UUIDs for another verb":       {Verb: DeleteWorkers, Workers: one, UUIDs: []string{uuid}},
		"a delete of nobody":           {Verb: DeleteWorkers},
		"an apply of somebody":         {Verb: ApplyDocuments, Workers: one},
		"an adopt without a VM":        {Verb: AdoptVM, Workers: one},
		"an adopt as nobody":           {Verb: AdoptVM, VM: "204"},
		"an adopt as several":          {Verb: AdoptVM, VM: "204", Workers: []string{"a-1", "a-2"}},
		"a VM that is not to be taken": {Verb: ParkWorkers, VM: "204", Workers: one},
	} {
		if err := r.Check(); !fault.Is(err, fault.Invalid) || fault.FixOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
