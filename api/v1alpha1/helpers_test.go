package v1alpha1_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/document"
)

// examples are the files that operators start from.
func examples(t testing.TB) []document.File {
	t.Helper()
	paths, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found examples %v, %v", paths, err)
	}
	var files []document.File
	for _, path := range paths {
		files = append(files, document.File{Name: path, Data: read(t, path)})
	}
	return files
}

func lab(t testing.TB) document.File {
	return document.File{Name: "lab.yaml", Data: read(t, "testdata/lab.yaml")}
}

// poolText is a WorkerPool on testdata/lab.yaml.
func poolText(name, spec string) string {
	return `apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata:
  name: ` + name + `
spec:
  hypervisor: lab
  kubeCluster: rke2
  template:
    name: ubuntu-22.04
` + strings.TrimPrefix(spec, "\n")
}
