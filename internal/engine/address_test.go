package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// agentless makes all guests without a guest agent: no VM reports an address.
func agentless(w *pvesim.World) {
	w.VMs = slices.Clone(w.VMs)
	for i := range w.VMs {
		w.VMs[i].Guest.Agent = false
	}
}

// TestAGuestWithoutAnAgentIsWaitedForAsLongAsAsked: the VM is made in any case, and a
// warning says what to look at, unless nothing was to be waited for.
func TestAGuestWithoutAnAgentIsWaitedForAsLongAsAsked(t *testing.T) {
	took := map[string]time.Duration{}
	for name, options := range map[string]engine.ApplyOptions{
		"as usual": {}, "two minutes": {AddressWait: new(2 * time.Minute)}, "not at all": {AddressWait: new(time.Duration(0))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, agentless)
				e := l.engine("ops@desk", solo, nil)
				plans, err := e.Plan(context.Background(), planOptions{})
				l.must(err)
				began := time.Now()
				applied, err := e.Apply(context.Background(), plans, options)
				l.must(err)
				took[name] = time.Since(began).Truncate(5 * time.Second)
				outcome, asked := applied.Results[0].Outcomes[0], 0
				for _, r := range l.sim.Requests() {
					if strings.Contains(r.Path, "/agent/") {
						asked++
					}
				}
				silent := name == "not at all"
				if silent != (asked == 0) || silent != (len(outcome.Warnings) == 0) || outcome.VM != "9100" || outcome.UUID == "" {
					t.Errorf("the agent was asked %d times: %+v", asked, outcome)
				}
				for _, warning := range outcome.Warnings {
					if !strings.HasPrefix(warning.Text, "gpu-1, VM 9100 on pve1: agent: still waiting for the guest agent after ") || !strings.HasPrefix(warning.Fix, "Look at the VM's console") {
						t.Errorf("it warns %q, %q", warning.Text, warning.Fix)
					}
				}
				l.whole()
				l.asDeclared(solo, "gpu-1")
			})
		})
	}
	if least := took["not at all"]; took["two minutes"] != least+2*time.Minute || took["as usual"] != least+5*time.Minute {
		t.Errorf("it took %v", took)
	}
}

// TestASessionWaitsAsLongAsAsked: Terraform works with a session.
func TestASessionWaitsAsLongAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, agentless)
		s := l.session(nil)
		for n, wait := range []time.Duration{0, time.Minute} {
			began, name := time.Now(), fmt.Sprintf("vm-%d", n)
			_, outcomes, err := s.Apply(t.Context(), poolOf(t, onePool(name, "names: ["+name+"]")), false, acceptAll, engine.ApplyOptions{AddressWait: &wait})
			if took := time.Since(began); err != nil || len(outcomes) != 1 || took < wait || took > wait+50*time.Second {
				t.Errorf("with a wait of %s: %v after %s, %+v", wait, err, took, outcomes)
			}
		}
		l.whole()
	})
}
