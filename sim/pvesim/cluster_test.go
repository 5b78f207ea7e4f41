package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParallelClonesFightForTheStorage(t *testing.T) {
	for name, tc := range map[string]struct {
		clones int
		lock   string // what the losers say
		fields []string
		win    int
	}{
		// Each clone makes a cloud-init drive and a disk, six seconds each.
		"one local storage serves one clone at a time": {4, "can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout", nil, 1},
		"one clone alone has it for itself":            {1, "", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				world := homelab(t)
				slowStorage(&world)
				sim := newSim(t, world)
				exits := make([]string, tc.clones)
				var wg sync.WaitGroup
				for i := range exits {
					wg.Go(func() {
						engine := sim.as(t, engineToken)
						exits[i], _ = engine.task(cloningTo(120+i, tc.fields...)(engine))
					})
				}
				wg.Wait()
				won := 0
				for i, exit := range exits {
					_, there := sim.State().VMs[120+i]
					switch {
					case exit == "OK" && there:
						won++
					case exit != "clone failed: "+tc.lock || there || countVolumes(sim.State(), 120+i) > 0:
						t.Errorf("clone %d ended with %q, and there is a VM: %v", 120+i, exit, there)
					}
				}
				if won < tc.win {
					t.Errorf("%d clones came through: %q", won, exits)
				}
			})
		})
	}
}

func TestHostsDoNotShareTheLockOfALocalStorage(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		slowStorage(&world)
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		first := cloning120()(engine)
		second := engine.do("POST", qemu("pve2", 9001, "/clone"), "newid", "121")
		began := time.Now()
		engine.done(first, "OK")
		engine.done(second, "OK")
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("both took %v, want 14 s side by side", took)
		}
	})
}

func TestATemplateCannotBeChangedWhileItIsCloned(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		first, second := cloning120("full", "1", "bwlimit", "262144")(engine), cloningTo(121, "full", "1")(engine)
		engine.do("PUT", qemu("pve1", 9000, "/config"), "memory", "512").
			refused(500, "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout")
		// Clones share the template's lock.
		engine.done(second, "OK")
		engine.done(first, "OK")
		engine.do("PUT", qemu("pve1", 9000, "/config"), "memory", "512").ok()
	})
}

func TestAFullStorageLeavesNothingBehind(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Storages = append(world.Storages, Storage{Name: "small", Type: "dir", Content: []string{"images", "iso"}, CapacityGiB: 0.5})
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		log := root.done(root.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1", "storage", "small"),
			"clone failed: copy failed: command '/usr/bin/qemu-img convert -p -n -f raw -O raw /srv/small/images/120/vm-120-disk-0.raw' failed: exit code 1")
		if !slices.ContainsFunc(log, func(line string) bool { return strings.Contains(line, "No space left on device") }) {
			t.Errorf("log: %q", log)
		}
		state := sim.State()
		if _, there := state.VMs[120]; there || countVolumes(state, 120) > 0 {
			t.Errorf("a VM is left: %v, volumes: %d", there, countVolumes(state, 120))
		}
		root.done(uploadTo(root, "/nodes/pve1/storage/small/upload", "ok.iso", "fits", "content", "iso"), "OK")
	})
}

func TestTheHAManagerActsByItself(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		withVM(100, func(v *VM) { v.HA, v.Running = true, false })(&world)
		sim := newSim(t, world)
		engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
		if got := root.do("GET", "/cluster/ha/resources").list(); len(got) != 1 || got[0].(map[string]any)["sid"] != "vm:100" {
			t.Errorf("resources: %v", got)
		}
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/start")), "OK")
		if sim.State().VMs[100].Running {
			t.Error("the VM runs at the end of a task that only asks for it")
		}
		pause(t, 15*time.Second)
		status := engine.do("GET", qemu("pve1", 100, "/status/current")).object()
		if diff := cmp.Diff(map[string]any{"managed": 1.0, "state": "started"}, status["ha"]); diff != "" || status["status"] != "running" {
			t.Errorf("status %v, ha (-want +got):\n%s", status["status"], diff)
		}
		tasks := sim.State().Tasks
		if last := tasks[len(tasks)-1]; last.Type != "qmstart" || last.User != "root@pam" {
			t.Errorf("the start is a %s by %s, want a qmstart by root@pam", last.Type, last.User)
		}
		if got := engine.do("POST", qemu("pve1", 100, "/status/stop"), "overrule-shutdown", "1"); got.errors["overrule-shutdown"] != "Not applicable for HA resources." {
			t.Errorf("overrule-shutdown: %v", got.errors)
		}
		engine.do("POST", qemu("pve1", 100, "/status/suspend"), "todisk", "1").refused(500, "Cannot suspend HA managed VM to disk")
		log := engine.done(engine.do("POST", qemu("pve1", 100, "/status/shutdown")), "OK")
		if log[0] != "Requesting HA stop for VM 100" {
			t.Errorf("log: %q", log)
		}
		pause(t, time.Minute)
		engine.do("DELETE", qemu("pve1", 100)).refused(500, "unable to remove VM 100 - used in HA resources and purge parameter not set.")
		log = engine.done(engine.do("DELETE", qemu("pve1", 100), "purge", "1"), "OK")
		if !slices.Contains(log, "NOTE: removed VM 100 from HA resource configuration.") {
			t.Errorf("log: %q", log)
		}
	})
}

func TestAVMThatIsOffMovesWithItsDisksWhenItsMappingIsThere(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1, "map", t4pve2).ok()
		vmWith(root, "pve1", 300, "hostpci0", "mapping=m1", "scsi0", "local-lvm:4")
		want := map[string]any{"running": 0.0, "allowed_nodes": []any{"pve2"},
			"not_allowed_nodes": map[string]any{"pve3": map[string]any{"unavailable-resources": []any{"hostpci0"}}},
			"local_resources":   []any{}, "mapped-resources": []any{"hostpci0"}}
		got := root.do("GET", qemu("pve1", 300, "/migrate")).object()
		for key, value := range want {
			if diff := cmp.Diff(value, got[key]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", key, diff)
			}
		}
		engine.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2").refused(403, "Permission check failed (/vms/300, VM.Migrate)")
		log := root.done(root.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve3"), "migration aborted")
		if !strings.HasSuffix(log[0], "ERROR: migration aborted (duration 00:00:00): can't migrate to 'pve3': missing mapped devices hostpci0") {
			t.Errorf("log: %q", log)
		}
		root.done(root.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2"), "OK")
		state := sim.State()
		if v := state.VMs[300]; v.Host != "pve2" || v.Lock != "" || state.Volumes["pve2/local-lvm:vm-300-disk-0"].VMID != 300 {
			t.Errorf("the VM is on %s with lock %q; its disk there: %v", v.Host, v.Lock, state.Volumes["pve2/local-lvm:vm-300-disk-0"])
		}
		root.done(root.do("POST", qemu("pve2", 300, "/status/start")), "OK")
		root.do("POST", qemu("pve2", 300, "/migrate"), "target", "pve1").refused(500, "can't migrate running VM without --online")
		root.do("POST", qemu("pve2", 300, "/migrate"), "target", "pve1", "online", "1").refused(501, "simulator: live migration is not simulated")
	})
}

func TestOnlyRootMayForceARawDeviceToAnotherHost(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.ACL = append(world.ACL, ACL{Path: "/vms", Subject: "gpuworker@pve", Role: "Administrator"}, ACL{Path: "/vms", Subject: "gpuworker@pve!engine", Role: "Administrator"})
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "hostpci0", "0000:03:00.0")
		if got := sim.as(t, engineToken).do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2", "force", "1"); got.errors["force"] != "Only root may use this option." {
			t.Errorf("force by a token: %d %v", got.code, got.errors)
		}
		root.done(root.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2", "force", "1"), "OK")
		// There it is another card that has the address, and nobody asks.
		root.done(root.do("POST", qemu("pve2", 300, "/status/start")), "OK")
		if got := sim.State().VMs[300].Devices; !slices.Equal(got, []string{"0000:03:00.0"}) {
			t.Errorf("devices: %v", got)
		}
	})
}

func TestADeviceThatKeepsItsDriverIsNotBound(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		withFunction("0000:03:00.0", func(f *PCIFunction) { f.Driver = "nvidia" })(&world)
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "machine", "q35", "hostpci0", "0000:03:00.0,pcie=1,driver=keep")
		log := root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "start failed: QEMU exited with code 1")
		const want = "kvm: -device vfio-pci,host=0000:03:00.0,id=hostpci0,bus=ich9-pcie-port-1,addr=0x0: " +
			"vfio 0000:03:00.0: Could not open '/dev/vfio/14': No such file or directory"
		if log[0] != want || len(sim.State().Damage) > 0 {
			t.Errorf("log: %q, damage: %v", log, sim.State().Damage)
		}
		if got := sim.State().Hosts["pve1"].Drivers["0000:03:00.0"]; got != "nvidia" {
			t.Errorf("the driver is %q", got)
		}
	})
}

func TestAnAgentMayBeSlowWedgedOrGone(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		ping := func(guest Guest) (*reply, time.Duration) {
			t.Helper()
			if err := sim.SetGuest(100, guest); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			return engine.do("POST", qemu("pve1", 100, "/agent/ping")), time.Since(began)
		}
		for _, tc := range []struct {
			guest Guest
			code  int
			took  time.Duration
		}{
			{Guest{OS: "ubuntu", Agent: true}, 200, 0},
			{Guest{OS: "ubuntu", Agent: true, Slow: Duration(2 * time.Second)}, 200, 2 * time.Second},
			{Guest{OS: "ubuntu", Agent: true, Slow: Duration(time.Hour)}, 500, 3 * time.Second},
			{Guest{OS: "ubuntu"}, 500, 3 * time.Second},
			{Guest{OS: "ubuntu", Agent: true}, 200, 0},
		} {
			if got, took := ping(tc.guest); got.code != tc.code || took != tc.took {
				t.Errorf("%+v: %d %s after %v, want %d after %v", tc.guest, got.code, got.reason, took, tc.code, tc.took)
			}
		}
	})
}

func TestFilesOfAGuestAreReadAsTheyWereWritten(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		path := qemu("pve1", 100, "/agent/")
		root.do("POST", path+"file-write", "file", "/etc/x", "content", "0123456789").ok()
		for _, tc := range []struct {
			fields []string
			want   map[string]any
		}{
			{nil, map[string]any{"content": "0123456789", "bytes-read": 10.0}},
			{[]string{"offset", "7"}, map[string]any{"content": "789", "bytes-read": 3.0}},
			{[]string{"offset", "70"}, map[string]any{"content": "", "bytes-read": 0.0}},
			{[]string{"count", "3"}, map[string]any{"content": "012", "bytes-read": 3.0, "truncated": 1.0}},
			{[]string{"decode", "0"}, map[string]any{"content": "MDEyMzQ1Njc4OQ==", "bytes-read": 10.0}},
		} {
			got := root.do("GET", path+"file-read", append(tc.fields, "file", "/etc/x")...).object()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tc.fields, diff)
			}
		}
		sim.as(t, engineToken).do("GET", path+"file-read", "file", "/etc/x").ok()
		root.do("GET", path+"file-read", "file", fmt.Sprint("/", time.Now().Unix())).refused(500,
			fmt.Sprintf("Agent error: failed to open file '/%d' (mode: 'r'): No such file or directory", time.Now().Unix()))
	})
}
