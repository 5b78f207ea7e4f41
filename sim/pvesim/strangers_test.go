package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPoolsAreMadeFilledAndRemoved(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/pools", "poolid", "a", "comment", "first").ok()
		root.do("POST", "/pools", "poolid", "a/b").ok()
		for _, step := range []struct {
			method, path string
			fields       []string
			want         string // the reason of a refusal
		}{
			{"POST", "/pools", []string{"poolid", "a"}, "create pool failed: pool 'a' already exists"},
			{"POST", "/pools", []string{"poolid", "x/y"}, "create pool failed: parent 'x' of pool 'x/y' does not exist"},
			{"POST", "/pools", []string{"poolid", "a/9"}, "create pool failed: pool name must start with a letter"},
			{"PUT", "/pools", []string{"poolid", "nope", "comment", "x"}, "update pools failed: pool 'nope' does not exist"},
			{"PUT", "/pools", []string{"poolid", "a", "vms", "100"}, ""},
			{"PUT", "/pools/a", []string{"vms", "100"}, "update pools failed: VM 100 is already a pool member"},
			{"PUT", "/pools", []string{"poolid", "a/b", "vms", "100"},
				"update pools failed: VM 100 belongs already to pool 'a' and 'allow-move' is not set"},
			{"PUT", "/pools", []string{"poolid", "a/b", "vms", "100", "allow-move", "1"}, ""},
			{"PUT", "/pools", []string{"poolid", "a", "vms", "100", "delete", "1"}, "update pools failed: VM 100 is not a pool member"},
			{"DELETE", "/pools", []string{"poolid", "a"}, "delete pool failed: pool 'a' is not empty (contains pool 'a/b')"},
			{"DELETE", "/pools/a/b", nil, "delete pool failed: pool 'a/b' is not empty (contains VM 100)"},
			{"PUT", "/pools/a/b", []string{"vms", "100", "delete", "1", "comment", "empty"}, ""},
			{"DELETE", "/pools/a/b", nil, ""},
			{"DELETE", "/pools", []string{"poolid", "a"}, ""},
			{"DELETE", "/pools", []string{"poolid", "a"}, "delete pool failed: pool 'a' does not exist"},
		} {
			got := root.do(step.method, step.path, step.fields...)
			if step.want == "" {
				got.ok()
			} else {
				got.refused(500, step.want)
			}
		}
		if got := sim.State().VMs[100].Pool; got != "" {
			t.Errorf("VM 100 is in pool %q", got)
		}
		// A number may be in a pool before there is a VM of it.
		root.do("POST", "/pools", "poolid", "early").ok()
		root.do("PUT", "/pools", "poolid", "early", "vms", "777").ok()
		root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "777"), "OK")
		if got := sim.State().VMs[777].Pool; got != "early" {
			t.Errorf("VM 777 is in pool %q", got)
		}
	})
}

func TestAPoolTakesOnlyVMsThatTheCallerMayGive(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Roles["Pools"] = []string{"Pool.Allocate"}
		world.ACL = append(world.ACL, ACL{Path: "/pool/gpu-workers", Subject: "gpuworker@pve!audit", Role: "Pools"}, ACL{Path: "/pool/gpu-workers", Subject: "gpuworker@pve", Role: "Pools"})
		sim := newSim(t, world)
		audit := sim.as(t, auditToken)
		audit.do("PUT", "/pools", "poolid", "gpu-workers", "vms", "100").refused(500, "update pools failed: 403 Permission check failed (/vms/100, Permissions.Modify|VM.Allocate)")
		audit.do("PUT", "/pools", "poolid", "gpu-workers", "comment", "mine").ok()
		audit.do("POST", "/pools", "poolid", "other").refused(403, "Permission check failed (/pool/other, Pool.Allocate)")
		if sim.State().VMs[100].Pool != "" {
			t.Error("the VM is in the pool")
		}
	})
}

func TestWhoMayDoWhatCanBeRead(t *testing.T) {
	play(t, func(t *testing.T) {
		world := loadWorld(t, "../../testdata/worlds/recorded.yaml")
		sim := newSim(t, world)
		root := sim.asRoot(t, "rec-root-pass")
		for path, want := range map[string]any{
			"/access/groups/staff":           map[string]any{"comment": "operators", "members": []any{"ops@pve", "auditor@pve"}},
			"/access/users/ops@pve/token/ci": map[string]any{"privsep": 0.0, "expire": 0.0},
			"/access/groups":                 []any{map[string]any{"groupid": "staff", "comment": "operators", "users": "ops@pve,auditor@pve"}},
		} {
			if diff := cmp.Diff(want, root.do("GET", path).ok().data); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
		user := root.do("GET", "/access/users/ops@pve").object()
		tokens, _ := user["tokens"].(map[string]any)
		if user["enable"] != 1.0 || fmt.Sprint(user["groups"]) != "[staff]" || tokens["ci"] == nil {
			t.Errorf("the user is %v", user)
		}
		if disabled := root.do("GET", "/access/users/disabled@pve").object(); disabled["enable"] != 0.0 {
			t.Errorf("the disabled user is %v", disabled)
		}
		root.do("GET", "/access/users/nobody@pve").refused(500, "no such user ('nobody@pve')")
		root.do("GET", "/access/users/ops@pve/token/nope").refused(500, "no such token 'nope' for user 'ops@pve'")
		root.do("GET", "/access/groups/nope").refused(500, "group 'nope' does not exist")
	})
}

func TestRealmsAreShownBeforeTheLogin(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		var names []string
		for _, r := range sim.as(t, "").do("GET", "/access/domains").list() {
			names = append(names, r.(map[string]any)["realm"].(string))
		}
		if !slices.Equal(names, []string{"pam", "pve"}) {
			t.Errorf("the realms are %v", names)
		}
	})
}

func TestClusterOptionsShowEverybodyTheAllowedTagsOnly(t *testing.T) {
	play(t, func(t *testing.T) {
		world := loadWorld(t, "../../testdata/worlds/recorded.yaml")
		world.Datacenter = Datacenter{UserTags: "list", UserTagsAllowed: []string{"gpu", "blue"}, RegisteredTags: []string{"prod"}}
		sim := newSim(t, world)
		as := func(user string) map[string]any {
			i := slices.IndexFunc(world.Tokens, func(token Token) bool { return token.ID == user+"!tk" })
			return sim.as(t, world.Tokens[i].ID+"="+world.Tokens[i].Secret).do("GET", "/cluster/options").object()
		}
		if diff := cmp.Diff(map[string]any{"allowed-tags": []any{"blue", "gpu"}}, as("none@pve")); diff != "" {
			t.Errorf("without privileges (-want +got):\n%s", diff)
		}
		if got := as("auditor@pve"); got["registered-tags"] == nil || fmt.Sprint(got["allowed-tags"]) != "[blue gpu]" {
			t.Errorf("the auditor sees %v", got)
		}
		root := sim.asRoot(t, "rec-root-pass").do("GET", "/cluster/options").object()
		if fmt.Sprint(root["allowed-tags"]) != "[blue gpu prod]" {
			t.Errorf("root may set %v", root["allowed-tags"])
		}
	})
}

func TestAGuestTellsMoreOfItself(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1"), "OK")
		engine.do("GET", qemu("pve1", 120, "/agent/get-time")).refused(500, "VM 120 is not running")
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		engine.do("GET", qemu("pve1", 120, "/agent/info")).refused(500, "QEMU guest agent is not running")
		pause(t, 5*time.Minute) // the guest boots
		result := func(name string) any {
			return engine.do("GET", qemu("pve1", 120, "/agent/"+name)).object()["result"]
		}
		if got := result("get-time").(float64); int64(got) < time.Now().Add(-time.Minute).UnixNano() {
			t.Errorf("its clock says %v", got)
		}
		if got := result("get-vcpus").([]any); len(got) != 2 {
			t.Errorf("it has %d processors", len(got))
		}
		if got := result("get-fsinfo").([]any); len(got) != 1 || got[0].(map[string]any)["mountpoint"] != "/" {
			t.Errorf("its file systems are %v", got)
		}
		if got := fmt.Sprint(result("info")); !strings.Contains(got, "guest-exec") {
			t.Errorf("its agent says %s", got)
		}
	})
}

func TestHostsTellTheirTimeNamesAndAddresses(t *testing.T) {
	play(t, func(t *testing.T) {
		root := newSim(t, homelab(t)).asRoot(t, rootPass)
		clock := root.do("GET", "/nodes/pve2/time").object()
		if clock["timezone"] != "UTC" || int64(clock["time"].(float64)) != time.Now().Unix() {
			t.Errorf("its clock says %v", clock)
		}
		if dns := root.do("GET", "/nodes/pve2/dns").object(); dns["search"] != "example.org" {
			t.Errorf("names are asked of %v", dns)
		}
		file := root.do("GET", "/nodes/pve2/hosts").object()
		if !strings.Contains(file["data"].(string), "192.168.10.13 pve3.example.org pve3\n") || len(file["digest"].(string)) != 40 {
			t.Errorf("/etc/hosts is %v", file)
		}
	})
}

func TestASnapshotsDescriptionCanBeChanged(t *testing.T) {
	play(t, func(t *testing.T) {
		root := newSim(t, homelab(t)).asRoot(t, rootPass)
		root.done(root.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1"), "OK")
		root.done(root.do("POST", qemu("pve1", 120, "/snapshot"), "snapname", "before", "description", "old"), "OK")
		path := qemu("pve1", 120, "/snapshot/before/config")
		root.do("PUT", path, "description", "new").ok()
		if got := root.do("GET", path).object()["description"]; got != "new" {
			t.Errorf("the description is %v", got)
		}
		root.do("PUT", qemu("pve1", 120, "/snapshot/nope/config"), "description", "x").refused(500, "snapshot 'nope' does not exist")
	})
}
