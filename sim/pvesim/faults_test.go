package pvesim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n float64) string { return strconv.Itoa(int(n)) }

// clonePath selects clones of the first template.
const clonePath = "^/nodes/pve1/qemu/9000/clone$"

func TestFaultsDoWhatTheySay(t *testing.T) {
	for name, tc := range map[string]struct {
		fault Fault
		check func(t *testing.T, got *reply, c *client)
		made  bool // there is a clone afterwards
	}{
		"status": {Fault{Effect: Status, Code: 596, Text: "Connection timed out"}, func(t *testing.T, got *reply, _ *client) {
			got.refused(596, "Connection timed out")
		}, false},
		"drop-before": {Fault{Effect: DropBefore}, dropped, false},
		"drop-after":  {Fault{Effect: DropAfter}, dropped, true},
		"html": {Fault{Effect: HTML}, func(t *testing.T, got *reply, _ *client) {
			if got.code != 200 || !strings.HasPrefix(got.body, "<!DOCTYPE html>") || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
				t.Errorf("got %d %s", got.code, got.body)
			}
		}, true},
		"half-json": {Fault{Effect: HalfJSON}, func(t *testing.T, got *reply, _ *client) {
			if !errors.Is(got.err, io.ErrUnexpectedEOF) || json.Valid([]byte(got.body)) {
				t.Errorf("got %q, %v", got.body, got.err)
			}
		}, true},
		"task-fails": {Fault{Effect: TaskFails, Text: "no space left"}, func(t *testing.T, got *reply, c *client) {
			c.done(got, "no space left")
		}, false},
		"task-fails-but-done": {Fault{Effect: TaskFailsButDone, Text: "got timeout"}, func(t *testing.T, got *reply, c *client) {
			c.done(got, "got timeout")
		}, true},
		"lock-held": {Fault{Effect: LockHeld}, func(t *testing.T, got *reply, _ *client) {
			got.refused(500, "can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout")
		}, false},
		"storage-lock": {Fault{Effect: StorageLockTimeout, Text: "cfs-lock 'storage-x' error: got lock request timeout"}, func(t *testing.T, got *reply, c *client) {
			c.done(got, "cfs-lock 'storage-x' error: got lock request timeout")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim := newSim(t, homelab(t))
				engine := sim.as(t, engineToken)
				tc.fault.Path = clonePath
				if err := sim.Inject(tc.fault); err != nil {
					t.Fatal(err)
				}
				tc.check(t, engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), engine)
				pause(t, time.Minute)
				v, there := sim.State().VMs[120]
				if there != tc.made || there && v.Lock != "" {
					t.Errorf("a minute later there is a VM: %v, locked: %q; want %v and no lock", there, v.Lock, tc.made)
				}
				if !tc.made && countVolumes(sim.State(), 120) > 0 {
					t.Error("disks are left")
				}
				// It happens once.
				engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "121"), "OK")
			})
		})
	}
}

func dropped(t *testing.T, got *reply, _ *client) {
	t.Helper()
	if !errors.Is(got.err, io.EOF) {
		t.Errorf("got %d %v, want a dropped connection", got.code, got.err)
	}
}

func TestFaultsSelectRequests(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Faults = []Fault{{Name: "second and third", Method: "GET", Path: "/status$", Nth: 2, Times: 2, Effect: Status, Code: 599, Text: "busy"},
			{Name: "of one VM", VMID: 204, Times: -1, Effect: Status, Code: 500, Text: "no"}}
		engine := newSim(t, world).as(t, engineToken)
		for i, code := range []int{200, 599, 599, 200} {
			if got := engine.do("GET", "/nodes/pve1/status"); got.code != code {
				t.Errorf("request %d: %d, want %d", i+1, got.code, code)
			}
		}
		engine.do("GET", qemu("pve1", 100, "/config")).ok()
		for range 3 {
			engine.do("GET", qemu("pve2", 204, "/config")).refused(500, "no")
		}
		engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "204").refused(500, "no")
	})
}

func TestAHangEndsWhenTheClientGivesUp(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		if err := sim.Inject(Fault{Path: clonePath, Effect: Hang}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		req, err := http.NewRequestWithContext(ctx, "POST", engine.base+"/api2/json"+qemu("pve1", 9000, "/clone?newid=120"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = engine.header
		if got := engine.send(req); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("got %v", got.err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if _, there := sim.State().VMs[120]; there {
			t.Error("the clone was made")
		}
	})
}

func TestARequestWhoseClientLeftIsCarriedOut(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		if err := sim.Inject(Fault{Path: clonePath, Effect: Nothing, Delay: Duration(10 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", engine.base+"/api2/json"+qemu("pve1", 9000, "/clone?newid=120"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = engine.header
		if got := engine.send(req); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("got %v", got.err)
		}
		pause(t, time.Minute)
		if v := sim.State().VMs[120]; v.ID != 120 || v.Lock != "" {
			t.Errorf("the clone is %+v", v)
		}
	})
}

func TestAStartMayFailAndYetRun(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
		if err := sim.Inject(Fault{Path: "/120/status/start$", Effect: TaskFailsButDone, Text: "start failed: got timeout"}); err != nil {
			t.Fatal(err)
		}
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "start failed: got timeout")
		if got := engine.do("GET", qemu("pve1", 120, "/status/current")).object()["status"]; got != "running" {
			t.Errorf("the VM is %v", got)
		}
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "VM 120 already running")
	})
}

func TestFaultsThatCannotBeAreRefused(t *testing.T) {
	sim := newSim(t, homelab(t))
	for name, tc := range map[string]struct {
		fault Fault
		want  string
	}{
		"no effect":              {Fault{}, `effect ""`},
		"a status that is fine":  {Fault{Effect: Status, Code: 200}, "code 200"},
		"a pattern that is none": {Fault{Effect: Hang, Path: "("}, "path:"},
		"a negative count":       {Fault{Effect: Hang, Times: -2}, "times must not be less than -1"},
	} {
		if err := sim.Inject(tc.fault); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q in it", name, err, tc.want)
		}
	}
}
