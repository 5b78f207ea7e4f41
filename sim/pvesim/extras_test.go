package pvesim

import (
	"slices"
	"strings"
	"testing"
)

func TestCloudInitShowsWhatTheGuestGets(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "name", "gpu-1"), "OK")
		engine.do("PUT", qemu("pve1", 120, "/config"), "ciuser", "ops", "cipassword", "geheim", "ipconfig0", "ip=192.0.2.20/24,gw=192.0.2.1",
			"nameserver", "192.0.2.53", "searchdomain", "example.org", "ciupgrade", "0",
			"sshkeys", "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIKJBEy57%2BIHpF3%2BiJMMBWG0YrK2%2BOq6v8nHNfa%2B6u3uZ%20ops%40example%0A").ok()
		engine.do("PUT", qemu("pve1", 120, "/cloudinit")).ok()
		dump := func(kind string) string {
			return engine.do("GET", qemu("pve1", 120, "/cloudinit/dump"), "type", kind).ok().data.(string)
		}
		user := dump("user")
		want := "#cloud-config\nhostname: gpu-1\nmanage_etc_hosts: true\nfqdn: gpu-1.example.org\nuser: ops\npassword: $5$"
		if !strings.HasPrefix(user, want) || strings.Contains(user, "geheim") || strings.Contains(user, "package_upgrade") ||
			!strings.Contains(user, "ssh_authorized_keys:\n  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJBEy57+IHpF3+iJMMBWG0YrK2+Oq6v8nHNfa+6u3uZ ops@example\n") {
			t.Errorf("user data:\n%s", user)
		}
		mac, _ := netAddress(sim.State().VMs[120].Config["net0"])
		wantNetwork := "version: 1\nconfig:\n    - type: physical\n      name: eth0\n      mac_address: '" + strings.ToLower(mac) + "'\n      subnets:\n" +
			"      - type: static\n        address: '192.0.2.20'\n        netmask: '255.255.255.0'\n        gateway: '192.0.2.1'\n" +
			"    - type: nameserver\n      address:\n      - '192.0.2.53'\n      search:\n      - 'example.org'\n"
		if got := dump("network"); got != wantNetwork {
			t.Errorf("network data:\n%s\nwant:\n%s", got, wantNetwork)
		}
		before := dump("meta")
		engine.do("PUT", qemu("pve1", 120, "/config"), "ciuser", "other").ok()
		if dump("meta") == before {
			t.Error("other user data give the same instance id")
		}
		if strings.Contains(sim.State().VMs[120].Config["cipassword"], "geheim") {
			t.Error("the configuration has the password in the clear")
		}
	})
}

func TestADiskMovesBetweenStorages(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, root := furnished(t)
		path := qemu("pve1", 100, "/move_disk")
		root.do("POST", path, "disk", "scsi0", "storage", "images").refused(500, "you can't move to the same storage with same format")
		root.do("POST", path, "disk", "scsi9", "storage", "nas").refused(500, "disk 'scsi9' does not exist")
		sim.as(t, token(t, w, "no-datastore-allocatespace@pve!tk")).do("POST", path, "disk", "scsi0", "storage", "nas").
			refused(403, "Permission check failed (/storage/nas, Datastore.AllocateSpace)")
		root.done(root.do("POST", path, "disk", "scsi0", "storage", "nas"), "OK")
		config := sim.State().VMs[100].Config
		if config["scsi0"] != "nas:100/vm-100-disk-0.raw,size=1G" || config["unused0"] != "images:100/vm-100-disk-0.raw" {
			t.Errorf("after moving: scsi0 %s, unused0 %s", config["scsi0"], config["unused0"])
		}
		root.do("PUT", qemu("pve1", 100, "/unlink"), "idlist", "unused0,scsi0", "force", "1").ok()
		state := sim.State()
		if state.VMs[100].Config["scsi0"] != "" || countVolumes(state, 100) != 0 {
			t.Errorf("after unlinking by force: %v and %d volumes", state.VMs[100].Config, countVolumes(state, 100))
		}
	})
}

func TestAMoveThatIsInterruptedLeavesTheDiskWhereItWas(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, _, root := furnished(t)
		if err := sim.Inject(Fault{Path: "/move_disk$", Effect: TaskFails, Text: "input/output error"}); err != nil {
			t.Fatal(err)
		}
		root.done(root.do("POST", qemu("pve1", 100, "/move_disk"), "disk", "scsi0", "storage", "nas", "delete", "1"), "input/output error")
		state := sim.State()
		if state.VMs[100].Config["scsi0"] != "images:100/vm-100-disk-0.raw,size=1G" || countVolumes(state, 100) != 1 {
			t.Errorf("scsi0 is %s, and there are %d volumes", state.VMs[100].Config["scsi0"], countVolumes(state, 100))
		}
	})
}

func TestASnapshotBringsTheConfigurationBack(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "scsi0", "local-lvm:1")
		path := qemu("pve1", 300, "/snapshot")
		root.do("POST", path, "snapname", "current").refused(500, "unable to use snapshot name 'current' (reserved name)")
		root.done(root.do("POST", path, "snapname", "s1", "description", "before"), "OK")
		root.done(root.do("POST", path, "snapname", "s1"), "snapshot name 's1' already used")
		root.do("PUT", qemu("pve1", 300, "/config"), "memory", "4096").ok()
		root.done(root.do("POST", path, "snapname", "s2"), "OK")
		root.done(root.do("POST", path+"/s1/rollback"), "OK")
		if got := sim.State().VMs[300]; got.Config["memory"] != "2048" || got.Config["parent"] != "s1" || !slices.Equal(got.Snapshots, []string{"s1", "s2"}) {
			t.Errorf("after the rollback: memory %s, parent %s, snapshots %v", got.Config["memory"], got.Config["parent"], got.Snapshots)
		}
		root.do("POST", qemu("pve1", 300, "/template")).refused(500, "unable to create template, because VM contains snapshots")
		root.done(root.do("DELETE", path+"/s1"), "OK")
		root.done(root.do("DELETE", path+"/s1"), "snapshot 's1' does not exist")
		if got := sim.State().VMs[300]; got.Config["parent"] != "" || !slices.Equal(got.Snapshots, []string{"s2"}) {
			t.Errorf("after deleting: parent %s, snapshots %v", got.Config["parent"], got.Snapshots)
		}
	})
}

func TestRawFilesCannotBeSnapshotted(t *testing.T) {
	play(t, func(t *testing.T) {
		_, _, root := furnished(t)
		if got := root.do("GET", qemu("pve1", 100, "/feature"), "feature", "snapshot").object()["hasFeature"]; got != 0.0 {
			t.Errorf("hasFeature is %v", got)
		}
		root.done(root.do("POST", qemu("pve1", 100, "/snapshot"), "snapname", "s1"), "snapshot feature is not available")
	})
}
