package document

import (
	"encoding/json"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

func TestTheSchemaKnowsTheSameQuantities(t *testing.T) {
	var schema struct {
		Defs struct {
			Machine struct {
				Properties struct {
					Memory struct {
						Pattern string `json:"pattern"`
					} `json:"memory"`
				} `json:"properties"`
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(v1alpha1.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	if got := schema.Defs.Machine.Properties.Memory.Pattern; got != quantityForm.String() {
		t.Errorf("the schema has %q, the reader has %q", got, quantityForm)
	}
}
