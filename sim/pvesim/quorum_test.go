package pvesim

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// denied is the error of a write of a VM's configuration; the last part is the process.
func denied(host string, vmid int) *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`^unable to open file '/etc/pve/nodes/%s/qemu-server/%d\.conf\.tmp\.\d+' - Permission denied$`, host, vmid))
}

func TestWithoutQuorumTheClusterSaysSo(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		audit := sim.asRoot(t, rootPass)
		look := func() (quorate any, online, status map[string]any) {
			online, status = map[string]any{}, map[string]any{}
			for _, entry := range audit.do("GET", "/cluster/status").list() {
				entry := entry.(map[string]any)
				if entry["type"] == "cluster" {
					quorate = entry["quorate"]
				} else {
					online[entry["name"].(string)] = entry["online"]
				}
			}
			for _, entry := range audit.do("GET", "/nodes").list() {
				entry := entry.(map[string]any)
				status[entry["node"].(string)] = entry["status"]
			}
			return quorate, online, status
		}
		if quorate, _, _ := look(); quorate != 1.0 {
			t.Errorf("at first: quorate %v", quorate)
		}
		if err := sim.SetQuorum(false); err != nil {
			t.Fatal(err)
		}
		quorate, online, status := look()
		if quorate != 0.0 || fmt.Sprint(online) != "map[pve1:1 pve2:0 pve3:0]" || fmt.Sprint(status) != "map[pve1:online pve2:offline pve3:offline]" {
			t.Errorf("without quorum: quorate %v, online %v, nodes %v", quorate, online, status)
		}
		// The others are still reached, and known from what they said last.
		audit.do("GET", "/nodes/pve2/status").ok()
		if got := listed(audit, 204); got["name"] == nil || got["status"] != "running" {
			t.Errorf("a VM of another host is listed as %v", got)
		}
		pause(t, 6*time.Minute)
		if got := listed(audit, 204); got["status"] != "unknown" {
			t.Errorf("six minutes later it is listed as %v", got)
		}
		if err := sim.SetQuorum(true); err != nil {
			t.Fatal(err)
		}
		if quorate, _, status := look(); quorate != 1.0 || status["pve2"] != "online" {
			t.Errorf("with quorum again: quorate %v, nodes %v", quorate, status)
		}
	})
}

func TestWithoutQuorumWritesFail(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 130)
		if err := sim.SetQuorum(false); err != nil {
			t.Fatal(err)
		}
		before := sim.State()
		file := denied("pve1", 100)
		refused := func(got *reply, want *regexp.Regexp) {
			t.Helper()
			if got.code != 500 || !want.MatchString(got.reason) {
				t.Errorf("got %d %s, want 500 %s", got.code, got.reason, want)
			}
		}
		fails := func(got *reply, want *regexp.Regexp) {
			t.Helper()
			if exit, _ := engine.task(got); !want.MatchString(exit) {
				t.Errorf("the task ended with %q, want %s", exit, want)
			}
		}
		refused(engine.do("PUT", qemu("pve1", 100, "/config"), "description", "x"), file)
		fails(engine.do("POST", qemu("pve1", 100, "/config"), "description", "x"), file)
		notReady := regexp.MustCompile(`^cluster not ready - no quorum\?$`)
		refused(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "131"), notReady)
		refused(engine.do("POST", qemu("pve1", 130, "/status/start")), notReady)
		refused(root.do("POST", "/nodes/pve1/qemu", "vmid", "131"), notReady)
		refused(root.do("POST", qemu("pve1", 100, "/migrate"), "target", "pve2"), notReady)
		fails(root.do("POST", qemu("pve1", 100, "/snapshot"), "snapname", "one"), file)
		fails(root.do("POST", qemu("pve1", 130, "/template")), denied("pve1", 130))
		fails(root.do("PUT", qemu("pve1", 100, "/resize"), "disk", "scsi0", "size", "+1G"), file)
		after := sim.State()
		if size := after.Volumes["pve1/local-lvm:vm-100-disk-0"].Size - before.Volumes["pve1/local-lvm:vm-100-disk-0"].Size; size != gib {
			t.Errorf("the volume grew by %d bytes: it is resized before that is written", size)
		}
		if before.VMs[100].Digest != after.VMs[100].Digest || len(before.VMs) != len(after.VMs) {
			t.Error("something was written without quorum")
		}
		// What needs no write goes on.
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/shutdown"), "timeout", "1", "forceStop", "1"), "OK")
		fails(root.do("DELETE", qemu("pve1", 100), "purge", "1"), file)
		if got := sim.State(); got.VMs[100].Running || countVolumes(got, 100) != countVolumes(before, 100) {
			t.Errorf("after shutdown and removal: running %v, %d volumes", got.VMs[100].Running, countVolumes(got, 100))
		}
		if err := sim.SetQuorum(true); err != nil {
			t.Fatal(err)
		}
		engine.do("PUT", qemu("pve1", 100, "/config"), "description", "x").ok()
	})
}

func TestWithoutQuorumFilesOfTheClusterAreLockedForTenSeconds(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1).ok()
		root.do("POST", "/pools", "poolid", "p1").ok()
		if err := sim.SetQuorum(false); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			method, path, text string
			fields             []string
		}{
			{"POST", "/cluster/mapping/pci", "create hardware mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!", []string{"id", "m2", "map", t4pve1}},
			{"PUT", "/cluster/mapping/pci/m1", "update hardware mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!", []string{"map", t4pve1}},
			{"DELETE", "/cluster/mapping/pci/m1", "delete pci mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!", nil},
			{"POST", "/pools", "create pool failed: cfs-lock 'file-user_cfg' error: no quorum!", []string{"poolid", "p2"}},
			{"POST", "/access/users", "create user failed: cfs-lock 'file-user_cfg' error: no quorum!", []string{"userid", "new@pve"}},
		} {
			began := time.Now()
			root.do(tc.method, tc.path, tc.fields...).refused(500, tc.text)
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("%s %s took %v, want 10 s", tc.method, tc.path, took)
			}
		}
		// Who waits gets the lock as soon as there is quorum again.
		time.AfterFunc(3500*time.Millisecond, func() { _ = sim.SetQuorum(true) })
		began := time.Now()
		root.do("POST", "/cluster/mapping/pci", "id", "m2", "map", t4pve1).ok()
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("with quorum after 3.5 s it took %v, want 4 s", took)
		}
	})
}

func TestACloneThatLosesTheQuorumLeavesItsLockedConfiguration(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "130", "full", "1").ok()
		if err := sim.SetQuorum(false); err != nil {
			t.Fatal(err)
		}
		exit, _ := engine.task(clone)
		text, isClone := strings.CutPrefix(exit, "clone failed: ")
		if !isClone || !denied("pve1", 130).MatchString(text) {
			t.Errorf("the clone ended with %q", exit)
		}
		got := sim.State()
		if v, there := got.VMs[130]; !there || v.Lock != "clone" || countVolumes(got, 130) != 0 {
			t.Errorf("it left %+v and %d volumes", v, countVolumes(got, 130))
		}
	})
}

func TestQuorumCanBeLostByAFault(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Faults = []Fault{
			{Method: "PUT", Path: "/100/config$", Nth: 2, Effect: QuorumLost},
			{Method: "GET", Path: "^/version$", Effect: QuorumBack, Times: -1},
		}
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		change := func() *reply { return engine.do("PUT", qemu("pve1", 100, "/config"), "description", "x") }
		change().ok()
		if got := change(); got.code != 500 || !denied("pve1", 100).MatchString(got.reason) {
			t.Errorf("the second change: %d %s", got.code, got.reason)
		}
		if got := change(); got.code != 500 {
			t.Errorf("the third change: %d %s", got.code, got.reason)
		}
		engine.do("GET", "/version").ok()
		change().ok()
	})
}

func TestHostsThatAreAwayTakeNoQuorum(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
		for _, host := range []string{"pve3", "pve2"} {
			if err := sim.SetHostOnline(host, false); err != nil {
				t.Fatal(err)
			}
		}
		for _, entry := range root.do("GET", "/cluster/status").list() {
			if entry := entry.(map[string]any); entry["type"] == "cluster" && entry["quorate"] != 1.0 {
				t.Errorf("the cluster is %v", entry)
			}
		}
		engine.do("PUT", qemu("pve1", 100, "/config"), "description", "x").ok()
	})
}

func TestAHostThatStandsAloneHasNoQuorumToLose(t *testing.T) {
	world := loadWorld(t, "../../testdata/worlds/recorded.yaml")
	sim := newSim(t, world)
	if err := sim.SetQuorum(false); err == nil || !strings.Contains(err.Error(), "without a cluster") {
		t.Errorf("SetQuorum: %v", err)
	}
	if err := sim.Inject(Fault{Effect: QuorumLost}); err == nil || !strings.Contains(err.Error(), "without a cluster") {
		t.Errorf("Inject: %v", err)
	}
	world.Faults = []Fault{{Name: "split", Effect: QuorumLost}}
	if _, err := New(world); err == nil || !strings.Contains(err.Error(), "without a cluster") {
		t.Errorf("New: %v", err)
	}
}
