package engine_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/pve"
)

// beforeCall does something before the first request of a kind.
type beforeCall struct {
	next   http.RoundTripper
	suffix string // of the path of a POST
	once   sync.Once
	do     func()
}

func (b *beforeCall) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, b.suffix) {
		b.once.Do(b.do)
	}
	return b.next.RoundTrip(request)
}

// TestAFailureDuringAnApplyIsNotAUsageError: exit code 2 means that nothing was
// changed. An object that disappears while a worker is made was removed by somebody
// else, which is a conflict.
func TestAFailureDuringAnApplyIsNotAUsageError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		file := filepath.Join(t.TempDir(), "lab.yaml")
		l.must(os.WriteFile(file, []byte(solo), 0o600))
		wire := &beforeCall{next: l.sim.Transport(), suffix: "/clone", do: func() {
			l.await(l.root().Destroy(context.Background(), "pve1", templateOn["pve1"], pve.DestroyOptions{}))
		}}
		code, out := l.typed(wire, nil, "apply", "--yes", "-f", file)
		if code != fault.ExitConflict {
			t.Errorf("code %d, want %d:\n%s", code, fault.ExitConflict, out)
		}
		if !strings.Contains(out, "clone the template") || !strings.Contains(out, "unable to find configuration file") {
			t.Errorf("it does not say what is gone:\n%s", out)
		}
	})
}
