package document

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestAListIsReadAsItsItems, also next to other documents, as JSON and as YAML.
func TestAListIsReadAsItsItems(t *testing.T) {
	full := read(t, "../../api/v1alpha1/testdata/full.yaml")
	want, err := Decode(File{Name: "full.yaml", Data: full})
	if err != nil {
		t.Fatal(err)
	}
	var items []json.RawMessage
	for _, document := range strings.Split("\n"+string(full), "\n---\n") {
		item, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if string(item) != "null" {
			items = append(items, item)
		}
	}
	list := func(items []json.RawMessage) string {
		data, err := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{}, "items": items}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	asYAML, err := yaml.JSONToYAML([]byte(list(items)))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"JSON": list(items), "YAML": string(asYAML), "two lists": list(items[:1]) + "\n---\n" + list(items[1:]),
		"a list and a document": list(items[:len(items)-1]) + "\n---\n" + string(items[len(items)-1]), "an empty list": list(items) + "\n---\n" + list(nil),
	} {
		got, err := Decode(File{Name: name, Data: []byte(text)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAListOfAliasesEnds: each alias is a whole document, and the file may have very
// many of them.
func TestAListOfAliasesEnds(t *testing.T) {
	pool := "{apiVersion: gpuworker.io/v1alpha1, kind: WorkerPool, metadata: {name: a}, spec: {labels: {" + "a: b" + "}}}"
	text := "apiVersion: v1\nkind: List\nitems: [&a " + pool + strings.Repeat(", *a", 100_000) + "]\n"
	_, err := Decode(File{Name: "x.yaml", Data: []byte(text)})
	if want := "x.yaml:3: List: items: an item is an alias (*name); write it out\n1 problem, nothing was changed."; fmt.Sprint(err) != want {
		t.Errorf("%.300v", err)
	}
}
