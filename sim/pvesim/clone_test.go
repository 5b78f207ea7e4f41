package pvesim

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestACloneInheritsAllButItsIdentity(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "name", "gpu-1", "description", "one\n"), "OK")
		state := sim.State()
		source, clone := state.VMs[9000].Config, state.VMs[120].Config
		for _, key := range []string{"smbios1", "vmgenid", "net0"} {
			if clone[key] == source[key] || clone[key] == "" {
				t.Errorf("%s of the clone is %q, of the template %q", key, clone[key], source[key])
			}
		}
		want := map[string]string{"name": "gpu-1", "description": "one", "scsi0": "local-lvm:vm-120-disk-0,discard=on,size=10G",
			"ide2": "local-lvm:vm-120-cloudinit,media=cdrom,size=4M"}
		for _, key := range []string{"tags", "ostype", "cores", "memory", "cpu", "scsihw", "serial0", "vga", "agent", "boot", "meta"} {
			want[key] = source[key]
		}
		got := map[string]string{}
		for key, value := range clone {
			if !slices.Contains([]string{"smbios1", "vmgenid", "net0"}, key) {
				got[key] = value
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the clone's configuration (-want +got):\n%s", diff)
		}
		if !strings.HasSuffix(clone["net0"], ",bridge=vmbr0") || !strings.HasPrefix(clone["net0"], "virtio=BC:24:11:") {
			t.Errorf("net0 of the clone: %s", clone["net0"])
		}
	})
}

func TestACloneUnderWayHasALockAndAtFirstNoName(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "name", "gpu-1", "full", "1", "bwlimit", "524288")
		if diff := cmp.Diff(map[string]string{"lock": "clone", "description": " qmclone temporary file"}, sim.State().VMs[120].Config); diff != "" {
			t.Errorf("the configuration before the first drive (-want +got):\n%s", diff)
		}
		pause(t, time.Second)
		// The small cloud-init drive comes first; then there is a name.
		if v := sim.State().VMs[120]; v.Name != "gpu-1" || v.Lock != "clone" || v.Config["ide2"] == "" || v.Config["scsi0"] != "" {
			t.Errorf("after the first drive: name %q, lock %q, ide2 %q, scsi0 %q", v.Name, v.Lock, v.Config["ide2"], v.Config["scsi0"])
		}
		engine.do("PUT", qemu("pve1", 120, "/config"), "memory", "512").refused(500, "VM is locked (clone)")
		// A task waits for the lock file first, which the clone holds.
		engine.done(engine.do("DELETE", qemu("pve1", 120)), "can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout")
		if got := engine.do("GET", "/cluster/nextid", "vmid", "120"); got.errors["vmid"] != "VM 120 already exists" {
			t.Errorf("nextid: %v", got.errors)
		}
		began := time.Now()
		engine.done(clone, "OK")
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("10 GiB at 512 MiB a second took another %v after 11 s, want about 20 s in all", took)
		}
	})
}

func TestAnIDIsTakenInThreeWays(t *testing.T) {
	t.Run("at once on the same host", func(t *testing.T) {
		play(t, func(t *testing.T) {
			engine := newSim(t, homelab(t)).as(t, engineToken)
			engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "100").refused(500, "unable to create VM 100: config file already exists")
			engine.do("POST", "/nodes/pve1/qemu", "vmid", "204").refused(500, "unable to create VM 204 - VM 204 already exists on node 'pve2'")
		})
	})
	t.Run("in the task on another host", func(t *testing.T) {
		play(t, func(t *testing.T) {
			sim := newSim(t, homelab(t))
			engine := sim.as(t, engineToken)
			before := sim.State().VMs[204]
			engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "204"),
				"close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/204.conf' failed: File exists")
			if diff := cmp.Diff(before, sim.State().VMs[204]); diff != "" {
				t.Errorf("the VM with that id was changed:\n%s", diff)
			}
		})
	})
	together := func(t *testing.T, quick bool) {
		play(t, func(t *testing.T) {
			world := homelab(t)
			if quick {
				timings := DefaultTimings()
				timings.CloneLinked = timings.CloneCheck
				world.Timings = &timings
			}
			sim := newSim(t, world)
			var wg sync.WaitGroup
			exits := make([]string, 2)
			for i := range exits {
				wg.Go(func() {
					engine := sim.as(t, engineToken)
					exits[i], _ = engine.task(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "name", fmt.Sprint("gpu-", i)))
				})
			}
			wg.Wait()
			slices.Sort(exits)
			want := []string{"OK", "can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout"}
			if quick {
				want = []string{"OK", "unable to create VM 120: config file already exists"}
			}
			if diff := cmp.Diff(want, exits); diff != "" {
				t.Errorf("ends of the two tasks (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("in the task when two come together", func(t *testing.T) { together(t, false) })
	t.Run("in the task when two come together and the first is done within a second", func(t *testing.T) { together(t, true) })
}

func TestClonesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		vmid   int
		fields []string
		code   int
		reason string
	}{
		"of a VM that is not there":      {999, nil, 500, "unable to find configuration file for VM 999 on node 'pve1'"},
		"linked to another storage":      {9000, []string{"storage", "local-lvm"}, 500, "parameter 'storage' not allowed for linked clones"},
		"linked in another format":       {9000, []string{"format", "raw"}, 500, "parameter 'format' not allowed for linked clones"},
		"linked to what is no template":  {100, []string{"full", "0"}, 500, "Linked clone feature is not supported for 'local-lvm:vm-100-disk-0' (scsi0)"},
		"to a storage that is not there": {9000, []string{"full", "1", "storage", "nope"}, 500, "storage 'nope' does not exist"},
		"to another host":                {9000, []string{"target", "pve2"}, 500, "can't clone VM to node 'pve2' (VM uses local storage)"},
		"to another host in full":        {9000, []string{"target", "pve2", "full", "1", "storage", "local-lvm"}, 500, "can't clone to non-shared storage 'local-lvm'"},
		"to a host that is not there":    {9000, []string{"target", "pve9"}, 500, "no such cluster node 'pve9'"},
		"of a snapshot":                  {9000, []string{"snapname", "s1"}, 500, "snapshot 's1' does not exist"},
		"into a pool that is not there":  {9000, []string{"pool", "nope"}, 403, "Permission check failed (pool 'nope' does not exist)"},
		"with a name that DNS forbids":   {9000, []string{"name", "bad_name"}, 400, "Parameter verification failed."},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim := newSim(t, homelab(t))
				sim.as(t, engineToken).do("POST", qemu("pve1", tc.vmid, "/clone"), append(tc.fields, "newid", "120")...).refused(tc.code, tc.reason)
				if _, there := sim.State().VMs[120]; there {
					t.Error("there is a VM all the same")
				}
			})
		})
	}
}

func TestACloneThatIsInterruptedCleansUpAndOneWhoseHostDiesDoesNot(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1")
		pause(t, time.Second)
		upid := clone.data.(string)
		engine.do("DELETE", "/nodes/pve1/tasks/"+upid).ok()
		engine.done(clone, "clone failed: interrupted by signal")
		if state := sim.State(); state.VMs[120].ID != 0 || countVolumes(state, 120) != 0 {
			t.Errorf("an interrupted clone left VM %v and %d volumes", state.VMs[120].ID, countVolumes(state, 120))
		}

		clone = engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "121", "full", "1")
		pause(t, time.Second)
		if err := sim.RebootHost("pve1"); err != nil {
			t.Fatal(err)
		}
		pause(t, 4*time.Minute)
		engine.done(clone, "unexpected status")
		state := sim.State()
		if left := state.VMs[121]; left.Lock != "clone" || left.Config["scsi0"] != "" || countVolumes(state, 121) != 2 {
			t.Errorf("a clone whose host died left %d volumes and %v", countVolumes(state, 121), left.Config)
		}
		// No token can clean this up; somebody must unlock it on the host.
		engine.done(engine.do("DELETE", qemu("pve1", 121)), "VM is locked (clone)")
		if got := engine.do("DELETE", qemu("pve1", 121), "skiplock", "1"); got.errors["skiplock"] != "Only root may use this option." {
			t.Errorf("skiplock by a token: %d %v", got.code, got.errors)
		}
		if err := sim.UnlockVM(121); err != nil {
			t.Fatal(err)
		}
		engine.done(engine.do("DELETE", qemu("pve1", 121)), "OK")
	})
}

func countVolumes(s State, vmid int) (n int) {
	for _, v := range s.Volumes {
		if v.VMID == vmid {
			n++
		}
	}
	return n
}

func TestABaseImageInUseKeepsItsTemplate(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, _, root := furnished(t)
		root.done(root.do("POST", qemu("pve1", 9000, "/clone"), "newid", "300"), "OK")
		if got := sim.State().VMs[300].Config["scsi0"]; got != "images:9000/base-9000-disk-0.raw/300/vm-300-disk-0.qcow2,size=2G" {
			t.Errorf("the linked clone's disk is %s", got)
		}
		root.done(root.do("DELETE", qemu("pve1", 9000)), "base volume 'images:9000/base-9000-disk-0.raw' is still in use by linked cloned")
		root.done(root.do("DELETE", qemu("pve1", 300)), "OK")
		root.done(root.do("DELETE", qemu("pve1", 9000)), "OK")
	})
}

func TestDestructionIsRefused(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.do("DELETE", qemu("pve1", 999)).refused(500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist")
		engine.do("DELETE", qemu("pve1", 100)).refused(500, "VM 100 is running - destroy failed")
		engine.do("DELETE", qemu("pve3", 110)).refused(500, "can't remove VM 110 - protection mode enabled")
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/stop")), "OK")
		log := engine.done(engine.do("DELETE", qemu("pve1", 100), "purge", "1"), "OK")
		if log[0] != "purging VM 100 from related configurations.." {
			t.Errorf("log: %q", log)
		}
		if n := countVolumes(sim.State(), 100); n != 0 {
			t.Errorf("%d volumes are left", n)
		}
	})
}

// TestACloneForAnotherHostIsMadeOnTheHostOfItsTemplate: its configuration is moved to the
// other host only at the end (PVE::API2::Qemu, clone_vm).
func TestACloneForAnotherHostIsMadeOnTheHostOfItsTemplate(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Storages = append(world.Storages, Storage{Name: "nas", Type: "dir", Path: "/mnt/nas", Content: []string{"images"}, Shared: true})
		world.VMs = append(world.VMs, VM{ID: 300, Host: "pve1", Config: map[string]any{"name": "shared", "template": 1,
			"scsi0": "nas:300/base-300-disk-0.raw,size=10G", "ide2": "none,media=cdrom"}})
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		clone := engine.do("POST", qemu("pve1", 300, "/clone"), "newid", "120", "target", "pve2", "full", "1")
		pause(t, time.Second)
		if v := sim.State().VMs[120]; v.Host != "pve1" || v.Lock != "clone" {
			t.Errorf("while it is made it is on %s, locked by %q", v.Host, v.Lock)
		}
		engine.do("GET", qemu("pve2", 120, "/config")).refused(500, "Configuration file 'nodes/pve2/qemu-server/120.conf' does not exist")
		engine.done(clone, "OK")
		if v := sim.State().VMs[120]; v.Host != "pve2" || v.Lock != "" {
			t.Errorf("when it is done it is on %s, locked by %q", v.Host, v.Lock)
		}
	})
}

// The log lines are those of the real server.
func TestAFullCloneLogsItsProgress(t *testing.T) {
	play(t, func(t *testing.T) {
		engine := newSim(t, homelab(t)).as(t, engineToken)
		clone := engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1")
		lines := func() (said []string) {
			for _, line := range engine.do("GET", "/nodes/pve1/tasks/"+url.PathEscape(clone.data.(string))+"/log").list() {
				if text := line.(map[string]any)["t"].(string); strings.HasPrefix(text, "transferred ") {
					said = append(said, text)
				}
			}
			return said
		}
		pause(t, 2500*time.Millisecond)
		if diff := cmp.Diff([]string{"transferred 0.0 B of 10.0 GiB (0.00%)", "transferred 1.0 GiB of 10.0 GiB (10.00%)", "transferred 2.0 GiB of 10.0 GiB (20.00%)"}, lines()); diff != "" {
			t.Errorf("after two seconds and a half (-want +got):\n%s", diff)
		}
		engine.done(clone, "OK")
		if all := lines(); all[len(all)-1] != "transferred 10.0 GiB of 10.0 GiB (100.00%)" {
			t.Errorf("in the end it says %q", all)
		}
	})
}
