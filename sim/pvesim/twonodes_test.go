package pvesim

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The answers of a cluster of two real hosts, Proxmox VE 9.2.

func TestAFeatureOnSharedStorageIsThereOnAllHosts(t *testing.T) {
	for name, tc := range map[string]struct {
		storage Storage
		nodes   []any
	}{
		"on a host's own storage":        {Storage{}, []any{"pve1"}},
		"on shared storage":              {Storage{Shared: true}, []any{"pve1", "pve2", "pve3"}},
		"on shared storage of two hosts": {Storage{Shared: true, Nodes: []string{"pve1", "pve2"}}, []any{"pve1", "pve2"}},
		"on shared storage that is off":  {Storage{Shared: true, Disabled: true}, []any{}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				world := homelab(t)
				st := tc.storage
				st.Name, st.Type, st.Path, st.Content = "nas", "dir", "/mnt/nas", []string{"images"}
				world.Storages = append(world.Storages, st)
				world.VMs = append(world.VMs, VM{ID: 300, Host: "pve1", Config: map[string]any{"name": "shared", "template": 1,
					"scsi0": "nas:300/base-300-disk-0.raw,size=1G", "ide2": "none,media=cdrom"}})
				got := newSim(t, world).as(t, engineToken).do("GET", qemu("pve1", 300, "/feature"), "feature", "clone").object()
				if diff := cmp.Diff(map[string]any{"hasFeature": 1.0, "nodes": tc.nodes}, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestBridgesThatAreUpAreActive(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Hosts[0].Bridges[1].Down = true
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		for _, entry := range root.do("GET", "/nodes/pve1/network", "type", "bridge").list() {
			entry := entry.(map[string]any)
			name := entry["iface"].(string)
			want := map[string]any{"vmbr0": 1.0, "vmbr1": nil}[name]
			if one := root.do("GET", "/nodes/pve1/network/"+name).object(); entry["active"] != want || one["active"] != want {
				t.Errorf("%s: active %v in the list and %v by itself, want %v", name, entry["active"], one["active"], want)
			}
		}
	})
}

func TestAUserIsShownWithTokensAndAddress(t *testing.T) {
	play(t, func(t *testing.T) {
		root := newSim(t, homelab(t)).asRoot(t, rootPass)
		root.do("POST", "/access/users", "userid", "tu@pve", "comment", "x", "email", "").ok()
		want := map[string]any{"expire": 0.0, "enable": 1.0, "groups": []any{}, "tokens": nil, "comment": "x", "email": ""}
		if diff := cmp.Diff(want, root.do("GET", "/access/users/tu@pve").object()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, entry := range root.do("GET", "/access/users").list() {
			if entry := entry.(map[string]any); entry["userid"] == "tu@pve" && entry["email"] != "" {
				t.Errorf("the list shows %v", entry)
			}
		}
		root.do("PUT", "/access/users/tu@pve", "email", "no address").refused(400, "Parameter verification failed.")
	})
}

func TestARunningVMShowsProcessNetworkCardsAndPressure(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		vmWith(sim.asRoot(t, rootPass), "pve1", 130, "net0", "virtio,bridge=vmbr0", "net2", "virtio,bridge=vmbr0")
		engine.done(engine.do("POST", qemu("pve1", 130, "/status/start")), "OK")
		for vmid, cards := range map[int][]string{100: {"tap100i0"}, 130: {"tap130i0", "tap130i2"}} {
			got := engine.do("GET", qemu("pve1", vmid, "/status/current")).object()
			for _, key := range []string{"pid", "pressurecpusome", "pressurecpufull", "pressureiosome", "pressureiofull", "pressurememorysome", "pressurememoryfull"} {
				if _, number := got[key].(float64); !number {
					t.Errorf("VM %d: %s is %v, want a number", vmid, key, got[key])
				}
			}
			nics := map[string]any{}
			for _, card := range cards {
				nics[card] = map[string]any{"netin": 0.0, "netout": 0.0}
			}
			if diff := cmp.Diff(nics, got["nics"]); diff != "" {
				t.Errorf("VM %d: nics (-want +got):\n%s", vmid, diff)
			}
		}
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/stop")), "OK")
		if got := engine.do("GET", qemu("pve1", 100, "/status/current")).object(); got["nics"] != nil || got["pid"] != nil {
			t.Errorf("a VM that is off has nics %v and pid %v", got["nics"], got["pid"])
		}
	})
}

func TestAnUnknownHostIsAFailureOfTheResolver(t *testing.T) {
	for noDNS, why := range map[bool]string{false: "Name or service not known", true: "Temporary failure in name resolution"} {
		play(t, func(t *testing.T) {
			world := homelab(t)
			world.NoDNS = noDNS
			newSim(t, world).as(t, engineToken).do("GET", "/nodes/pve9/qemu").refused(500,
				fmt.Sprintf("hostname lookup 'pve9' failed - failed to get address info for: pve9: %s", why))
		})
	}
}

func TestTextsThatTwoHostsGave(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Storages = append(world.Storages, Storage{Name: "images", Type: "dir", Path: "/mnt/images", Content: []string{"images"}})
		sim := newSim(t, world)
		root, weak := sim.asRoot(t, rootPass), sim.as(t, weakToken)
		clone := func(fields ...string) *reply {
			return root.do("POST", qemu("pve1", 9000, "/clone"), append([]string{"newid", "130"}, fields...)...)
		}
		clone("target", "pve2", "full", "1", "storage", "images").refused(500, "can't clone to non-shared storage 'images'")
		clone("pool", "gpupool").refused(403, "Permission check failed (pool 'gpupool' does not exist)")
		weak.do("GET", "/pools/none").refused(403, "Permission check failed (/pool/none, Pool.Audit)")
	})
}
