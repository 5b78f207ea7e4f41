package pvesim

import (
	"testing"
	"time"
)

// listed is a VM's entry in the list of the whole cluster.
func listed(c *client, vmid int) map[string]any {
	c.t.Helper()
	for _, entry := range c.do("GET", "/cluster/resources", "type", "vm").list() {
		if entry := entry.(map[string]any); entry["vmid"] == float64(vmid) {
			return entry
		}
	}
	return nil
}

// onHost is a VM's entry in the list of its host.
func onHost(c *client, host string, vmid int) map[string]any {
	c.t.Helper()
	for _, entry := range c.do("GET", "/nodes/"+host+"/qemu").list() {
		if entry := entry.(map[string]any); entry["vmid"] == float64(vmid) {
			return entry
		}
	}
	return nil
}

func TestTheListOfAllVMsIsBehind(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.ListLag = Duration(10 * time.Second)
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		began := time.Now()
		status := func(at time.Duration, vmid int, all, host string) {
			t.Helper()
			pause(t, at-time.Since(began))
			if got := listed(engine, vmid)["status"]; got != all {
				t.Errorf("after %v, all VMs: %d is %v, want %s", at, vmid, got, all)
			}
			if got := onHost(engine, "pve1", vmid)["status"]; got != host {
				t.Errorf("after %v, VMs of the host: %d is %v, want %s", at, vmid, got, host)
			}
		}
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/stop")), "OK")
		status(5*time.Second, 100, "running", "stopped")
		status(11*time.Second, 100, "stopped", "stopped")
		uptime := listed(engine, 100)["uptime"]
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/start")), "OK")
		status(18*time.Second, 100, "stopped", "running")
		if again := listed(engine, 100)["uptime"]; again != uptime {
			t.Errorf("the uptime went from %v to %v between two broadcasts", uptime, again)
		}
		status(21*time.Second, 100, "running", "running")
		// What is not broadcast is never late.
		engine.do("PUT", qemu("pve1", 100, "/config"), "tags", "fresh", "name", "renamed").ok()
		got := listed(engine, 100)
		if got["tags"] != "fresh" || got["name"] == "renamed" {
			t.Errorf("after a change of tags and name: %v and %v", got["tags"], got["name"])
		}
	})
}

func TestANumberThatIsUsedAgainIsListedAsBefore(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		vmWith(sim.asRoot(t, rootPass), "pve1", 130)
		engine.done(engine.do("POST", qemu("pve1", 130, "/status/start")), "OK")
		sim.SetListLag(Duration(10 * time.Second))
		engine.done(engine.do("POST", qemu("pve1", 130, "/status/stop")), "OK")
		engine.done(engine.do("DELETE", qemu("pve1", 130)), "OK")
		if got := listed(engine, 130); got != nil {
			t.Errorf("a VM that was destroyed is listed: %v", got)
		}
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "130", "name", "again").ok()
		if got := listed(engine, 130); got["status"] != "running" || got["lock"] != "clone" {
			t.Errorf("the clone under way is listed as %v", got)
		}
		engine.done(clone, "OK")
		pause(t, 10*time.Second)
		if got := listed(engine, 130); got["status"] != "stopped" || got["name"] != "again" {
			t.Errorf("the clone is listed as %v", got)
		}
	})
}

func TestAVMThatWasNeverBroadcastIsUnknown(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		slowStorage(&world)
		sim := newSim(t, world)
		sim.SetListLag(Duration(10 * time.Second))
		engine := sim.as(t, engineToken)
		// A full clone, of some ten seconds, is under way when the next broadcast comes.
		pause(t, 5*time.Second)
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "131", "name", "new", "full", "1").ok()
		if got := listed(engine, 131); got["status"] != "unknown" || got["name"] != nil {
			t.Errorf("before any broadcast it is listed as %v", got)
		}
		pause(t, 6*time.Second)
		if got := listed(engine, 131); got["status"] != "stopped" || got["name"] != "VM 131" {
			t.Errorf("in the middle of the clone it is listed as %v", got)
		}
		engine.done(clone, "OK")
		// Without lag the list is up to date again.
		sim.SetListLag(0)
		if got := listed(engine, 131); got["name"] != "new" {
			t.Errorf("without lag it is listed as %v", got)
		}
	})
}

func TestBroadcastsOfVMsThatAreGoneAreForgotten(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		sim.SetListLag(Duration(10 * time.Second))
		engine := sim.as(t, engineToken)
		vmWith(sim.asRoot(t, rootPass), "pve1", 130)
		pause(t, 10*time.Second)
		engine.done(engine.do("DELETE", qemu("pve1", 130)), "OK")
		pause(t, 6*time.Minute)
		engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "130").ok()
		if got := listed(engine, 130); got["status"] != "unknown" {
			t.Errorf("six minutes later the number is listed as %v", got)
		}
	})
}
