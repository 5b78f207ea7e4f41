package apply

import (
	"bytes"
	"context"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/logging"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// A guest is polled each second and refuses to shut down after 25 s: the wait is
// logged three times.
func TestTheLogHasEachStepWithItsPlaceAndWaitsNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{stop: func(_ context.Context, _ string, call int, _ hypervisor.Handle) (*hypervisor.Wait, error) {
			if call > 25 {
				return nil, &fault.Error{Kind: fault.Refused, Why: "protected"}
			}
			return &hypervisor.Wait{For: "the guest", CallAfter: time.Second}, nil
		}}
		p := parking("gpu-1")
		p.Pools[0].Workers[0].Card = pci.MustCardRef("h1/0000:03:00.0")
		var log bytes.Buffer
		run(t, s, p, Options{Log: logging.New(&log, logging.Text, logging.Changes)})
		const where = " action=park hypervisor=lab host=h1 vm=7 card=h1/0000:03:00.0"
		want := "step gpu-1 park done <1ms" + where + "\n" +
			"step gpu-1 shutdown waiting <1ms" + where + ` for="the guest"` + "\n" +
			"step gpu-1 shutdown waiting 10s" + where + ` for="the guest"` + "\n" +
			"step gpu-1 shutdown waiting 20s" + where + ` for="the guest"` + "\n" +
			"step gpu-1 shutdown failed Refused 25s" + where + " error=protected\n"
		if diff := cmp.Diff(want, regexp.MustCompile(`(?m)^\S+ `).ReplaceAllString(log.String(), "")); diff != "" {
			t.Error(diff)
		}
	})
}
