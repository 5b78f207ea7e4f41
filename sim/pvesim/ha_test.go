package pvesim

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const haPath = "/cluster/ha/resources"

func TestTheHAManagerBringsAVMToTheStateThatIsAskedFor(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "300"), "OK")
		running := func(want bool) {
			t.Helper()
			pause(t, 2*time.Minute)
			if got := sim.State().VMs[300].Running; got != want {
				t.Errorf("running is %v, want %v", got, want)
			}
		}
		status := func() any { return root.do("GET", qemu("pve1", 300, "/status/current")).object()["ha"] }
		root.do("POST", haPath, "sid", "300", "max_restart", "2", "comment", "keep it up").ok()
		running(true)
		want := map[string]any{"sid": "vm:300", "type": "vm", "max_restart": 2.0, "comment": "keep it up", "digest": "x"}
		got := root.do("GET", haPath+"/vm:300").object()
		digest := got["digest"].(string)
		got["digest"] = "x"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the resource (-want +got):\n%s", diff)
		}
		root.do("PUT", haPath+"/vm:300", "state", "disabled", "digest", digest).ok()
		running(false)
		root.do("PUT", haPath+"/vm:300", "state", "stopped", "digest", digest).
			refused(500, "update resources config failed: detected modified configuration - file changed by other user? Try again.")
		if diff := cmp.Diff(map[string]any{"managed": 1.0, "state": "stopped"}, status()); diff != "" {
			t.Errorf("ha (-want +got):\n%s", diff)
		}
		// A start only says what is wanted.
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		if got := root.do("GET", haPath+"/300").object()["state"]; got != "started" {
			t.Errorf("the start asked for %v", got)
		}
		running(true)

		// What is ignored is its users' own again, and cannot be destroyed all the same.
		root.do("PUT", haPath+"/vm:300", "state", "ignored", "delete", "comment,max_restart").ok()
		if diff := cmp.Diff(map[string]any{"managed": 0.0}, status()); diff != "" {
			t.Errorf("ha (-want +got):\n%s", diff)
		}
		root.done(root.do("POST", qemu("pve1", 300, "/status/stop")), "OK")
		if sim.State().VMs[300].Running {
			t.Error("an ignored VM runs after its stop")
		}
		root.do("DELETE", qemu("pve1", 300)).refused(500, "unable to remove VM 300 - used in HA resources and purge parameter not set.")
		root.do("DELETE", haPath+"/vm:300").ok()
		if got := root.do("GET", haPath).list(); len(got) != 0 {
			t.Errorf("resources: %v", got)
		}
		root.done(root.do("DELETE", qemu("pve1", 300)), "OK")
	})
}

func TestTheHAManagerRelocatesAVMWithAStop(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "300"), "OK")
		root.do("POST", haPath, "sid", "vm:300").ok()
		pause(t, time.Minute)
		if got := root.do("POST", haPath+"/vm:300/migrate", "node", "pve2"); got.code != 501 || !strings.HasPrefix(got.reason, "simulator:") {
			t.Errorf("live migration: %d %s, want to be told that it is not simulated", got.code, got.reason)
		}
		want := map[string]any{"sid": "vm:300", "requested-node": "pve2"}
		if diff := cmp.Diff(want, root.do("POST", haPath+"/vm:300/relocate", "node", "pve2").object()); diff != "" {
			t.Errorf("the answer (-want +got):\n%s", diff)
		}
		pause(t, 5*time.Minute)
		if v := sim.State().VMs[300]; v.Host != "pve2" || !v.Running {
			t.Errorf("the VM is on %s, running: %v", v.Host, v.Running)
		}
		// Off, it moves as it is.
		root.do("PUT", haPath+"/vm:300", "state", "stopped").ok()
		pause(t, 5*time.Minute)
		log := root.done(root.do("POST", qemu("pve2", 300, "/migrate"), "target", "pve1"), "OK")
		if log[0] != "Requesting HA migration for VM 300 to node pve1" {
			t.Errorf("log: %q", log)
		}
		pause(t, 5*time.Minute)
		if v := sim.State().VMs[300]; v.Host != "pve1" || v.Running {
			t.Errorf("the VM is on %s, running: %v", v.Host, v.Running)
		}
	})
}

func TestWhatIsWrongWithHAResourcesIsSaidAsTheRealServerSaysIt(t *testing.T) {
	world := homelab(t)
	withVM(100, func(v *VM) { v.HA = true })(&world)
	sim := newSim(t, world)
	root := sim.asRoot(t, rootPass)
	for name, tc := range map[string]struct {
		method, path string
		fields       []string
		reason       string
	}{
		"a VM that is not there":               {"POST", haPath, []string{"sid", "vm:999"}, "resource 'vm:999' does not exist in cluster"},
		"a number that is not there":           {"POST", haPath, []string{"sid", "999"}, "unable to detect SID from VMID - VM/CT 999 does not exist"},
		"a VM that is called a container":      {"POST", haPath, []string{"sid", "ct:9000"}, "resource 'ct:9000' - guest with ID 9000 is not a container"},
		"a type that does not fit":             {"POST", haPath, []string{"sid", "vm:9000", "type", "ct"}, "types does not match"},
		"something that is no guest":           {"POST", haPath, []string{"sid", "ip:9000"}, "unknown section type 'ip'"},
		"a name that is no number":             {"POST", haPath, []string{"sid", "vm:x"}, "invalid VMID"},
		"a VM that has one":                    {"POST", haPath, []string{"sid", "100"}, "create resource failed: resource ID 'vm:100' already defined"},
		"a group":                              {"POST", haPath, []string{"sid", "vm:9000", "group", "prefer1"}, "invalid parameter 'group': ha groups have been migrated to rules"},
		"two lines of comment":                 {"POST", haPath, []string{"sid", "vm:9000", "comment", "a\nb"}, "property contains a line feed"},
		"reading what is not there":            {"GET", haPath + "/vm:9000", nil, "no such resource 'vm:9000'"},
		"changing what is not there":           {"PUT", haPath + "/vm:9000", []string{"state", "stopped"}, "update resources config failed: no such resource 'vm:9000'"},
		"taking away an option that is none":   {"PUT", haPath + "/vm:100", []string{"delete", "nope"}, "update resources config failed: no such option 'nope'"},
		"removing what is not there":           {"DELETE", haPath + "/vm:9000", nil, "cannot delete service 'vm:9000', not HA managed!"},
		"moving what the manager does not run": {"POST", haPath + "/vm:9000/relocate", []string{"node", "pve2"}, "resource 'vm:9000' is not HA managed"},
	} {
		t.Run(name, func(t *testing.T) {
			(&client{t: t, base: root.base, http: root.http, header: root.header}).do(tc.method, tc.path, tc.fields...).refused(500, tc.reason)
		})
	}
}
