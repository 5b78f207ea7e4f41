package testlab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpuworker/gpuworker/internal/guestbuild"
)

// GuestDir makes a directory with stand-ins for gpuworker-guest: the simulated guests run
// no program.
func GuestDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, build := range guestbuild.StandIn().Builds {
		if err := os.WriteFile(filepath.Join(dir, build.FileName()), build.Data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
