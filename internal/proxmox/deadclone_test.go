package proxmox

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// lostAnswers carries the requests for clones out and loses the answers.
type lostAnswers struct{ next http.RoundTripper }

func (l lostAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(request)
	if err == nil && request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/clone") {
		_ = answer.Body.Close()
		return nil, context.DeadlineExceeded
	}
	return answer, err
}

// TestADeadCloneIsNotWaitedFor: nobody knows whether the clone was asked for, so
// its end is waited for; but its task died, and left a lock that stays for ever.
func TestADeadCloneIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
		must(t, err)
		defer sim.Close()
		b := openOver(t, lostAnswers{sim.Transport()}, tokenOf(t, w, "gpuworker@pve!engine"))
		time.AfterFunc(time.Second, func() { must(t, sim.SetQuorum(false)) }) // the clone takes longer
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := gpuRecord()
		must(t, b.Claim(ctx, r, inventory.Record{}))

		err = b.Clone(ctx, order(r))
		if ctx.Err() != nil {
			t.Fatalf("it waited for ever: %v", err)
		}
		if !fault.Is(err, fault.Stuck) || !strings.Contains(fault.FixOf(err), "qm unlock 9101") {
			t.Errorf("it ends with %v (%s), fix %q", err, fault.KindOf(err), fault.FixOf(err))
		}
	})
}
