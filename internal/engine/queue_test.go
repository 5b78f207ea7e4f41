package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestQueuedFullClonesKeepTheirDeadline: four full clones on one storage, two at a time
// and 100 minutes each, take longer than the deadline of one clone.
func TestQueuedFullClonesKeepTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.CloneFullMin = pvesim.Duration(100 * time.Minute) }))
		documents := strings.NewReplacer("replicas: 1", "replicas: 4\n  hosts: [pve1]", "{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: Full}").
			Replace(header + fleet[strings.LastIndex(fleet, "\napiVersion"):])
		began := time.Now()
		l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
		if took := time.Since(began); took < 3*time.Hour {
			t.Errorf("all took %s, which is not longer than one may", took)
		}
		l.whole()
	})
}
