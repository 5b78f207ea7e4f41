package pvesim

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATaskIsSeenByWhoStartedItAndByAuditors(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, root := furnished(t)
		as := func(id string) *client { return sim.as(t, token(t, w, id)) }
		started := as("no-sys-audit@pve!tk").do("POST", qemu("pve1", 100, "/status/start"))
		upid := started.ok().data.(string)
		if !strings.Contains(upid, ":qmstart:100:no-sys-audit@pve!tk:") {
			t.Errorf("UPID %s", upid)
		}
		path := "/nodes/pve1/tasks/" + url.PathEscape(upid)
		for who, fine := range map[string]bool{"no-sys-audit@pve!tk": true, "ops@pve!ci": true, "auditor@pve!tk": true, "root@pam!auto": true, "none@pve!tk": false} {
			for _, part := range []string{"/status", "/log"} {
				got := as(who).do("GET", path+part)
				if fine {
					got.ok()
				} else {
					got.refused(403, "Permission check failed (/nodes/pve1, Sys.Audit)")
				}
			}
		}
		as("auditor@pve!tk").do("DELETE", path).refused(403, "Permission check failed (/nodes/pve1, Sys.Modify)")
		status := root.do("GET", path+"/status").object()
		if status["user"] != "no-sys-audit@pve" || status["tokenid"] != "tk" || status["status"] != "running" || status["exitstatus"] != nil {
			t.Errorf("status: %v", status)
		}
		// A user's ticket sees what its tokens started; another token does not.
		byToken := as("ops@pve!ci").do("POST", qemu("pve1", 101, "/status/stop")).ok().data.(string)
		as("ops@pve!sep").do("GET", "/nodes/pve1/tasks/"+url.PathEscape(byToken)+"/status").refused(403, "Permission check failed (/nodes/pve1, Sys.Audit)")
		root.done(started, "OK")
		if n := len(as("none@pve!tk").do("GET", "/nodes/pve1/tasks").list()); n != 0 {
			t.Errorf("somebody without rights sees %d tasks", n)
		}
		if n := len(as("no-sys-audit@pve!tk").do("GET", "/nodes/pve1/tasks").list()); n != 1 {
			t.Errorf("who started one task sees %d", n)
		}
	})
}

func TestUnknownTasksAndPagesOfALog(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		unknown := "/nodes/pve1/tasks/UPID:pve1:00000001:00000001:60000000:qmstart:100:root@pam:"
		for path, text := range map[string]string{unknown: "no such task", "/nodes/pve1/tasks/garbage": "unable to parse worker upid"} {
			if got := engine.do("GET", path+"/status"); got.code != 400 || got.errors["upid"] != text {
				t.Errorf("%s: %d %v", path, got.code, got.errors)
			}
		}
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120")
		engine.done(clone, "OK")
		path := "/nodes/pve1/tasks/" + url.PathEscape(clone.data.(string)) + "/log"
		all := engine.do("GET", path)
		n := len(all.list())
		page := engine.do("GET", path, "start", "1", "limit", "2")
		if got := page.list(); len(got) != 2 || got[0].(map[string]any)["n"] != 2.0 || page.total != float64(n) {
			t.Errorf("lines from 1, at most 2, of %d: %v, total %v", n, got, page.total)
		}
		if got := engine.do("GET", path, "limit", "-1"); got.errors["limit"] != "value must have a minimum value of 0" {
			t.Errorf("limit -1: %v", got.errors)
		}
	})
}

func TestTaskListsAreFiltered(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
		engine.done(engine.do("POST", qemu("pve1", 9000, "/status/start")), "you can't start a vm if it's a template")
		running := engine.do("POST", qemu("pve1", 120, "/status/start")).data
		for name, tc := range map[string]struct {
			query []string
			want  string
		}{
			"what has ended":      {nil, "qmstart qmclone"},
			"what runs":           {[]string{"source", "active"}, "qmstart"},
			"everything":          {[]string{"source", "all"}, "qmstart qmstart qmclone"},
			"failures":            {[]string{"errors", "1"}, "qmstart"},
			"successes":           {[]string{"statusfilter", "ok"}, "qmclone"},
			"one kind":            {[]string{"typefilter", "qmclone"}, "qmclone"},
			"those of one VM":     {[]string{"vmid", "120", "source", "all"}, "qmstart"},
			"those of a stranger": {[]string{"userfilter", "nobody"}, ""},
			"the second":          {[]string{"start", "1", "limit", "1"}, "qmclone"},
		} {
			var kinds []string
			for _, task := range engine.do("GET", "/nodes/pve1/tasks", tc.query...).list() {
				kinds = append(kinds, task.(map[string]any)["type"].(string))
			}
			if got := strings.Join(kinds, " "); got != tc.want {
				t.Errorf("%s: %q, want %q", name, got, tc.want)
			}
		}
		if running == nil {
			t.Error("the start gave no task")
		}
	})
}

func TestAGuestShutsDownWhenItHasBooted(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
		engine.do("POST", qemu("pve1", 120, "/status/reboot")).refused(500, "VM 120 not running")
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/shutdown")), "OK")
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "OK")

		log := engine.done(engine.do("POST", qemu("pve1", 120, "/status/shutdown"), "timeout", "1"), "VM quit/powerdown failed - got timeout")
		if log[0] != "QEMU Guest Agent is not running - VM 120 qga command 'guest-ping' failed - got timeout" {
			t.Errorf("log: %q", log)
		}
		pause(t, 30*time.Second)
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/reboot")), "OK")
		if !sim.State().VMs[120].Running {
			t.Error("after a reboot the VM does not run")
		}
		pause(t, 30*time.Second)
		began := time.Now()
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/shutdown")), "OK")
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("the shutdown took %v, want about 8 s", took)
		}
	})
}

func TestTheAgentAnswersOnceTheGuestIsUp(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t), WithGuest(func(call GuestCall) GuestResult {
			return GuestResult{ExitCode: 3, Out: strings.Join(call.Command, "|") + call.Input, After: Duration(5 * time.Second)}
		}))
		engine := sim.as(t, engineToken)
		agent := func(rest string) string { return qemu("pve1", 120, "/agent/", rest) }
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
		engine.do("POST", agent("ping")).refused(500, "VM 120 is not running")
		engine.do("PUT", qemu("pve1", 120, "/config"), "delete", "agent").ok()
		engine.do("POST", agent("ping")).refused(500, "No QEMU guest agent configured")
		engine.do("PUT", qemu("pve1", 120, "/config"), "agent", "1", "ipconfig0", "ip=192.0.2.20/24").ok()
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "OK")

		began := time.Now()
		engine.do("POST", agent("ping")).refused(500, "QEMU guest agent is not running")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("an agent that is not up was waited for %v, want 3 s", took)
		}
		pause(t, 25*time.Second)
		cards := engine.do("GET", agent("network-get-interfaces")).object()["result"].([]any)
		card := cards[1].(map[string]any)
		mac, _ := netAddress(sim.State().VMs[120].Config["net0"])
		address := card["ip-addresses"].([]any)[0].(map[string]any)["ip-address"]
		if card["hardware-address"] != strings.ToLower(mac) || address != "192.0.2.20" {
			t.Errorf("the card is %v, want %s with 192.0.2.20", card, strings.ToLower(mac))
		}
		pid := engine.do("POST", agent("exec"), "command", "sh", "command", "-c", "command", "id", "input-data", "x").object()["pid"].(float64)
		status := func() map[string]any { return engine.do("GET", agent("exec-status"), "pid", itoa(pid)).object() }
		if got := status(); got["exited"] != 0.0 {
			t.Errorf("right away: %v", got)
		}
		pause(t, 5*time.Second)
		if got := status(); got["exited"] != 1.0 || got["exitcode"] != 3.0 || got["out-data"] != "sh|-c|idx" {
			t.Errorf("after five seconds: %v", got)
		}
		engine.do("POST", agent("file-write"), "file", "/etc/x", "content", "y").ok()
		if got := sim.State().VMs[120].Files["/etc/x"]; got != "y" {
			t.Errorf("the file has %q", got)
		}
	})
}

func TestACallerMayWaitForItsTask(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		config := qemu("pve1", 9000, "/config")
		if got := root.do("POST", config, "cores", "3", "background_delay", "5").ok().data; got != nil || sim.State().VMs[9000].Config["cores"] != "3" {
			t.Errorf("a change that was waited for answers %v, cores are %s", got, sim.State().VMs[9000].Config["cores"])
		}
		const raw = "only root can set 'hostpci0' config for non-mapped devices"
		sim.as(t, engineToken).do("POST", config, "hostpci0", "03:00.0", "background_delay", "5").refused(500, "failed to update VM 9000: "+raw)
		root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "x.iso", "x", "content", "iso"), "OK")
		if got := root.do("DELETE", "/nodes/pve1/storage/local/content/local:iso/x.iso", "delay", "5").ok().data; got != nil {
			t.Errorf("a deletion that was waited for answers %v", got)
		}
	})
}

func TestAStopMayEndAShutdown(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve3", 110, "/status/reset")), "OK")
		shutdown := engine.do("POST", qemu("pve3", 110, "/status/shutdown"))
		pause(t, time.Second)
		began := time.Now()
		engine.done(engine.do("POST", qemu("pve3", 110, "/status/stop"), "overrule-shutdown", "1"), "OK")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the stop took %v", took)
		}
		engine.done(shutdown, "received interrupt")
	})
}

func TestAStopWaitsForTheLockOfAShutdown(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve3", 110, "/status/reset")), "OK")
		shutdown := engine.do("POST", qemu("pve3", 110, "/status/shutdown"), "forceStop", "1", "timeout", "30")
		pause(t, time.Second)
		engine.done(engine.do("POST", qemu("pve3", 110, "/status/stop")), "can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout")
		log := engine.done(shutdown, "OK")
		if log[0] != "VM still running - terminating now with SIGTERM" {
			t.Errorf("log: %q", log)
		}
	})
}

func TestAPausedGuestDoesNotAnswer(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		status := func() any {
			return engine.do("GET", qemu("pve1", 100, "/status/current")).object()["qmpstatus"]
		}
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/suspend")), "OK")
		if got := status(); got != "paused" {
			t.Errorf("status %v", got)
		}
		engine.do("POST", qemu("pve1", 100, "/agent/ping")).refused(500, "QEMU guest agent is not running")
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/resume")), "OK")
		engine.do("POST", qemu("pve1", 100, "/agent/ping")).ok()
		engine.do("POST", qemu("pve1", 100, "/status/suspend"), "todisk", "1").refused(501, "simulator: suspending to disk is not simulated")
	})
}

func TestLocksMayBeSkippedByRootOnly(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.VMs = append(world.VMs, VM{ID: 120, Host: "pve1", Running: true, Config: map[string]any{"lock": "backup", "scsi0": "local-lvm:vm-120-disk-0,size=1G"}})
		sim := newSim(t, world)
		engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
		for _, call := range []struct {
			method, path string
			fields       []string
		}{
			{"POST", "/status/stop", nil},
			{"POST", "/status/start", nil},
			{"PUT", "/resize", []string{"disk", "scsi0", "size", "+1G"}},
			{"POST", "/status/shutdown", []string{"forceStop", "1"}},
			{"DELETE", "", nil},
		} {
			path := qemu("pve1", 120, call.path)
			root.done(root.do(call.method, path, call.fields...), "VM is locked (backup)")
			fields := slices.Concat(call.fields, []string{"skiplock", "1"})
			if got := engine.do(call.method, path, fields...); got.errors["skiplock"] != "Only root may use this option." {
				t.Errorf("%s %s by a token: %d %v", call.method, call.path, got.code, got.errors)
			}
			root.done(root.do(call.method, path, fields...), "OK")
		}
	})
}

// TestTheClusterListsAllRunningTasks, and of each host the last 25 ended ones
// (PVE::RESTEnvironment, active_workers).
func TestTheClusterListsAllRunningTasks(t *testing.T) {
	play(t, func(t *testing.T) {
		engine := newSim(t, homelab(t)).as(t, engineToken)
		running := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1", "bwlimit", "102400").ok().data.(string)
		pause(t, 100*time.Millisecond)
		for range 30 {
			engine.do("POST", qemu("pve1", 9000, "/status/start")).ok() // the clone has its lock: it fails
		}
		engine.do("POST", qemu("pve2", 9001, "/status/start")).ok()
		pause(t, 20*time.Second)
		hosts, runs := map[any]int{}, false
		for _, entry := range engine.do("GET", "/cluster/tasks").list() {
			entry := entry.(map[string]any)
			if hosts[entry["node"]]++; entry["upid"] == running {
				runs = entry["endtime"] == nil
			}
		}
		if hosts["pve1"] != 26 || hosts["pve2"] != 1 || !runs {
			t.Errorf("it lists %v, the clone that runs among them: %v", hosts, runs)
		}
	})
}
