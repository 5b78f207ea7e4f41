package proxmox

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestAnInvalidHandleCountsAsLost in every method.
func TestAnInvalidHandleCountsAsLost(t *testing.T) {
	for name, handle := range map[string]hypervisor.Handle{
		"no JSON":               "\x00task",
		"another JSON":          `["UPID"]`,
		"nothing":               `{}`,
		"no task":               `{"task":"x"}`,
		"a time to come":        `{"since":"2999-01-01T00:00:00Z","sent":true,"seen":"x"}`,
		"a task nobody knows":   `{"since":"1999-01-01T00:00:00Z","task":"UPID:pve1:00000001:00000001:386D4380:qmclone:9000:root@pam:"}`,
		"of another program":    `{"version":2,"id":"9101"}`,
		"cut off in the middle": `{"since":"2000-01-01T00:00:00Z","task":"UPID:pve1:000`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newCalls(t)
				l.first = handle
				l.live()
			})
		})
	}
}

// TestAnEndedTaskIsNotWaitedFor, whatever its error. While a task runs, a host that
// does not answer is retried.
func TestAnEndedTaskIsNotWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		fault pvesim.Fault
		kind  fault.Kind
	}{
		"it failed without quorum":  {pvesim.Fault{Path: "/status/start$", Effect: pvesim.TaskFails, Text: "cluster not ready - no quorum?"}, fault.Busy},
		"it found a host away":      {pvesim.Fault{Path: "/status/start$", Effect: pvesim.TaskFails, Text: "hostname lookup 'pve2' failed - failed to get address info for: pve2"}, fault.Busy},
		"it found the VM locked":    {pvesim.Fault{Path: "/status/start$", Effect: pvesim.TaskFails, Text: "VM is locked (backup)"}, fault.Busy},
		"its host does not answer":  {pvesim.Fault{Path: "/tasks/.*/status$", Effect: pvesim.Status, Code: 596, Text: "Connection timed out", Times: -1}, fault.Unavailable},
		"the cluster has no quorum": {pvesim.Fault{Path: "/status/start$", Effect: pvesim.Status, Code: 500, Text: "cluster not ready - no quorum?"}, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				ref := l.worker(1)
				must(t, l.sim.Inject(tt.fault))
				if err := l.b.Start(t.Context(), ref); !fault.Is(err, tt.kind) || fault.FixOf(err) == "" {
					t.Errorf("%s %v, fix %q", fault.KindOf(err), err, fault.FixOf(err))
				}
			})
		})
	}
}

// unseen makes the server answer every request for a task's status with this error.
func (l *bench) unseen(code int, text string) {
	l.Helper()
	must(l.T, l.sim.Inject(pvesim.Fault{Path: "/tasks/.*/status$", Effect: pvesim.Status, Code: code, Text: text, Times: -1}))
}

// TestALostTaskIsJudgedByItsResult: the server does not know the task any more.
func TestALostTaskIsJudgedByItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		l.unseen(400, "no such task")
		ref := l.worker(1)
		must(t, l.b.Start(t.Context(), ref))
		up := l.isUp(ref)
		must(t, l.b.Stop(t.Context(), ref))
		must(t, l.b.Unprotect(t.Context(), ref))
		must(t, l.b.Destroy(t.Context(), ref))
		if _, there := l.sim.State().VMs[number(ref.ID)]; !up || there {
			t.Errorf("it ran: %v, it is there: %v", up, there)
		}
	})
}

// TestATaskThatWeMayNotSeeIsReported, unless its result is visible. The VM is not
// switched off only because the shutdown task cannot be read.
func TestATaskThatWeMayNotSeeIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ref := l.up()
		l.unseen(403, "Permission check failed (/nodes/pve1, Sys.Audit)")
		for _, s := range []struct {
			what string
			do   func(context.Context, inventory.VMRef) error
			up   bool
		}{{"stop", l.b.Stop, false}, {"start", l.b.Start, true}} {
			if err := s.do(t.Context(), ref); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "Sys.Audit") {
				t.Errorf("%s: %s %v", s.what, fault.KindOf(err), err)
			}
			time.Sleep(time.Minute)
			if err := s.do(t.Context(), ref); err != nil || l.isUp(ref) != s.up {
				t.Errorf("%s, when it is done: %v, it runs: %v", s.what, err, l.isUp(ref))
			}
		}
		if pulls := l.sent("POST /nodes/pve1/qemu/9111/status/stop"); pulls > 0 {
			t.Errorf("the VM was switched off %d times", pulls)
		}
	})
}

// TestATimeoutIsNotAnInterrupt: no person ended the call.
func TestATimeoutIsNotAnInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ref := l.worker(1)
		l.wire.takes = func(string) time.Duration { return 20 * time.Second }
		if _, err := once(t.Context(), l.b.starting(ref), ""); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.FixOf(err), "too slowly") {
			t.Errorf("%s %v, fix %q", fault.KindOf(err), err, fault.FixOf(err))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := once(ctx, l.b.starting(ref), ""); !fault.Is(err, fault.Interrupted) {
			t.Errorf("%s %v", fault.KindOf(err), err)
		}
	})
}

// TestARequestThatWasNeverSentIsNotWaitedFor: the context ends before the clone is
// requested.
func TestARequestThatWasNeverSentIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, wait, err := l.b.Backend.Clone(ctx, order(plain(1)), "")
		if wait != nil || !fault.Is(err, fault.Interrupted) || l.sent("POST ") > 0 {
			t.Errorf("%+v, %v", wait, err)
		}
	})
}

// TestObserveVMShowsTheSameAsObserve for the same VM.
func TestObserveVMShowsTheSameAsObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t, slowly)
		r, card := gpuRecord(), inventory.Card{Ref: card3, PCIe: true, ROMBar: true}
		desired := gpuMachine()
		desired.MemoryMiB, desired.DiskMiB, desired.Guest.SSHKeys = 4096, 0, nil
		must(t, l.b.Claim(t.Context(), r, inventory.Record{}))
		must(t, l.b.Clone(t.Context(), order(r)))
		must(t, l.b.Configure(t.Context(), r, desired))
		must(t, l.b.Attach(t.Context(), r, card))
		must(t, l.b.Start(t.Context(), refOf(r)))
		task, err := l.root.Clone(t.Context(), "pve1", 9000, pve.CloneOptions{NewID: 300, Name: "theirs", Full: true})
		must(t, err)
		time.Sleep(20 * time.Second)

		s, err := l.b.Observe(t.Context(), hypervisor.Scope{Cards: true})
		must(t, err)
		for _, id := range []string{"9101", "300", "100"} {
			one, err := l.b.ObserveVM(t.Context(), inventory.VMRef{Host: "pve1", ID: id})
			must(t, err)
			if diff := cmp.Diff(s.VM(id), one); diff != "" {
				t.Errorf("VM %s, among all and by itself:\n%s", id, diff)
			}
		}
		if vm := s.VM("300"); vm.State != inventory.Cloning || vm.Name != "theirs" {
			t.Errorf("a clone under way, which has its name already, is %q, %q", vm.State, vm.Name)
		}
		must(t, l.root.StopTask(t.Context(), task.UPID))
		time.Sleep(time.Second)
		if one, err := l.b.ObserveVM(t.Context(), inventory.VMRef{Host: "pve1", ID: "300"}); one != nil || err != nil {
			t.Errorf("a VM that is not there is seen as %+v (%v)", one, err)
		}
	})
}
