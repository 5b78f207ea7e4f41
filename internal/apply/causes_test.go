package apply

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// refusedReads is a hypervisor whose reads of files in guests fail.
type refusedReads struct {
	script
	began time.Time
	err   func(since time.Duration) error
}

func (r *refusedReads) ReadGuest(context.Context, inventory.VMRef, string, int) ([]byte, error) {
	return nil, r.err(time.Since(r.began))
}

// TestAGuestIsWaitedForButNotAHostOrALogin: only the guest may answer, or allow a call,
// later by itself. A host that does not answer, and a login without a privilege, are named
// as what they are, and not after 45 minutes as a guest that is silent.
func TestAGuestIsWaitedForButNotAHostOrALogin(t *testing.T) {
	problem := func(kind fault.Kind, why, fix string) error { return &fault.Error{Kind: kind, Why: why, Fix: fix} }
	hostDown, agentDown := problem(fault.Unavailable, "no route to the host", "look at the host"), hypervisor.ByGuest(problem(fault.Unavailable, "no agent", "look at the console"))
	always := func(err error) func(time.Duration) error { return func(time.Duration) error { return err } }
	for name, c := range map[string]struct {
		err       func(since time.Duration) error
		took      time.Duration
		says, fix string
	}{
		"the agent never comes": {always(agentDown), DefaultGuestWait, "the guest agent", "look at the console"},
		"the host is down":      {always(hostDown), time.Minute, "no route to the host", "look at the host"},
		"the host goes down later": {func(since time.Duration) error {
			if since < time.Minute {
				return agentDown
			}
			return hostDown
		}, silentLimit + 2*time.Minute, "no route to the host", "look at the host"},
		"the login may not":    {always(problem(fault.Denied, "the login lacks VM.Foo", "gpuworker role")), 0, "the login lacks VM.Foo", "gpuworker role"},
		"the agent forbids it": {always(hypervisor.ByGuest(problem(fault.Denied, "it is forbidden", "allow it"))), failureStays, "it is forbidden", "allow it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &refusedReads{began: time.Now(), err: c.err}
				o := Run(t.Context(), r, proving(), Options{NewUUID: func() string { return oneUUID }}).Outcomes[0]
				if took := time.Since(r.began); took > c.took+time.Minute {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if o.Err == nil || !strings.Contains(o.Error, c.says) || !strings.Contains(o.Fix, c.fix) {
					t.Errorf("%s\n→ %s\nwant %q, %q", o.Error, o.Fix, c.says, c.fix)
				}
			})
		})
	}
}
