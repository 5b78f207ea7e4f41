package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/golden"
)

// Each file in testdata/bad has one kind of error, which its name describes; the golden
// file shows the messages. Files that only have pools are read together with
// testdata/lab.yaml.
func TestEveryErrorIsExplained(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(strings.ReplaceAll(name, "-", " "), func(t *testing.T) {
			warnings, err := explain(t, path)
			if err == nil && len(warnings) == 0 {
				t.Fatal("nothing was found wrong")
			}
			golden.Compare(t, "testdata/bad/"+name+".txt", report(warnings, err))
		})
	}
}

// explain loads one scenario.
func explain(t *testing.T, path string) (document.Problems, error) {
	t.Helper()
	files := []document.File{{Name: "bad.yaml", Data: read(t, path)}}
	if text := string(files[0].Data); strings.Contains(text, "kind: WorkerPool") && !strings.Contains(text, "kind: KubeCluster") {
		files = append(files, document.File{Name: "lab.yaml", Data: read(t, "testdata/lab.yaml")})
	}
	_, warnings, err := document.Load(files...)
	return warnings, err
}

func report(warnings document.Problems, err error) string {
	var b strings.Builder
	for _, w := range warnings {
		b.WriteString("warning: " + w.String() + "\n")
	}
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
