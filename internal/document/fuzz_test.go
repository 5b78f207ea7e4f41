package document

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

// Reading any file ends, with documents or with problems that can be printed. Documents
// are the same after being written and read again.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"../../examples/*.yaml", "../../api/v1alpha1/testdata/*.yaml", "../../api/v1alpha1/testdata/bad/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, path := range paths {
			if data := read(f, path); len(data) < 4096 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := File{Name: "fuzz.yaml", Data: data}
		_, warnings, err := Load(file)
		checkProblems(t, data, warnings)
		if problems, ok := err.(Problems); ok {
			checkProblems(t, data, problems)
		}
		d, err := Decode(file)
		if err != nil {
			return
		}
		again, err := Decode(File{Name: "again.yaml", Data: asJSON(t, d)})
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, asJSON(t, d))
		}
		if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("changed by writing and reading (-before +after):\n%s", diff)
		}
	})
}

func checkProblems(t *testing.T, data []byte, problems Problems) {
	t.Helper()
	for _, p := range problems {
		if p.Message == "" || strings.ContainsAny(p.String(), "\n\r\x1b") || p.File != "fuzz.yaml" {
			t.Errorf("an odd problem: %q", p)
		}
		// YAML knows more line breaks than editors do, so this is a bound only.
		if p.Line < 0 || p.Line > len(data)+1 {
			t.Errorf("line %d does not exist: %s", p.Line, p)
		}
	}
}

// asJSON writes documents as JSON, which is YAML too, one after the other.
func asJSON(t *testing.T, d *v1alpha1.Documents) []byte {
	t.Helper()
	var b bytes.Buffer
	add := func(document any) {
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(text)
		b.WriteString("\n")
	}
	for _, h := range d.Hypervisors {
		add(h)
	}
	for _, k := range d.KubeClusters {
		add(k)
	}
	for _, p := range d.WorkerPools {
		add(p)
	}
	return b.Bytes()
}
