package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// TestRemovingTheOnlyCardFromTheDocuments follows docs/getting-started.md: the worker
// is removed from the document, by its card or with its whole pool, and then deleted.
// Before that, each command works and reports the worker.
func TestRemovingTheOnlyCardFromTheDocuments(t *testing.T) {
	for name, documents := range map[string]string{
		"an empty list": edit("gpus:\n    - {host: pve1, bdf: \"0000:03:00.0\"}\n", "gpus: []\n")(solo),
		"no list":       edit("  gpus:\n    - {host: pve1, bdf: \"0000:03:00.0\"}\n", "")(solo),
		"no pool":       header[:strings.LastIndex(header, "---")],
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, made(t, solo))
				file := filepath.Join(t.TempDir(), "lab.yaml")
				l.must(os.WriteFile(file, []byte(documents), 0o600))
				run := func(want int, says string, line string) {
					t.Helper()
					code, out := l.typed(l.sim.Transport(), nil, append(strings.Fields(line), "-f", file)...)
					if code != want || !strings.Contains(out, says) {
						t.Errorf("gpuworker %s: code %d, want %d and %q:\n%s", line, code, want, says, out)
					}
				}
				run(fault.ExitOK, "gpuworker delete", "plan")
				run(fault.ExitOK, "gpuworker delete", "status")
				run(fault.ExitOK, "gpu-1", "status gpu-1")
				run(fault.ExitDiffers, "gpu-1", "assert")
				run(fault.ExitOK, "", "check")
				run(fault.ExitOK, "", "gpus")
				run(fault.ExitOK, "Nothing was changed", "apply --yes")
				l.only("gpu-1")
				l.allow("gpu-1")
				run(fault.ExitOK, "destroyed", "delete gpu-1 --yes")
				run(fault.ExitOK, "", "plan")
				run(fault.ExitOK, "", "assert")
				run(fault.ExitOK, "gpu-1: does not exist, nothing to delete", "delete gpu-1 --yes")
				l.whole()
				l.only()
			})
		})
	}
}
