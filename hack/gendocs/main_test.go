package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheReferenceIsUpToDate(t *testing.T) {
	fresh := t.TempDir()
	var complaints strings.Builder
	if err := write(fresh, &complaints); err != nil {
		t.Fatal(err, complaints.String())
	}
	pages, err := os.ReadDir(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 4 {
		t.Errorf("only %d pages were written", len(pages))
	}
	for _, page := range pages {
		want, err := os.ReadFile(filepath.Join(fresh, page.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", page.Name()))
		if err != nil {
			t.Errorf("run `make docs`: %v", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("docs/reference/%s is not up to date, run `make docs` (-code +page):\n%s", page.Name(), diff)
		}
	}
}

func TestDocumentsAreDescribedFieldByField(t *testing.T) {
	text := `{
		"oneOf": [{"$ref": "#/$defs/Pool"}],
		"$defs": {
			"Pool": {"description": "Pool is a set.", "properties": {"spec": {"$ref": "#/$defs/Spec"}}},
			"Spec": {"required": ["cards"], "properties": {
				"cards": {"description": "Cards | slots.", "type": "array", "items": {"$ref": "#/$defs/Card"}},
				"memory": {"description": "Memory.", "type": ["string", "integer"], "default": "8Gi"}
			}},
			"Card": {"properties": {"count": {"description": "Count.", "type": "integer", "minimum": 1, "maximum": 4, "default": 1}}}
		}
	}`
	page, err := documents([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := "\n## Pool\n\nPool is a set.\n\n| Field | Value | Default | |\n|---|---|---|---|\n" +
		"| **`spec.cards`** | list of fields |  | Cards \\| slots. |\n" +
		"| `spec.cards[].count` | 1 to 4 | `1` | Count. |\n" +
		"| `spec.memory` | quantity | `8Gi` | Memory. |\n"
	if diff := cmp.Diff(documentsIntro+want, string(page)); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
	if _, err := documents([]byte("{")); err == nil {
		t.Error("broken JSON passes")
	}
}
