package pvesim

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAWorldWithFaultsShowsAllOfThem(t *testing.T) {
	_, err := LoadWorld([]byte(`
version: "7.4"
bogus: 1
hosts:
  - {name: pve1, cpus: 0, memoryGiB: 64, pci: [{address: "0000:AF:00.0", class: "0300", id: 10de-1eb8, group: -2}]}
  - {name: pve1, cpus: 4, memoryGiB: 64}
storages:
  - {name: a1, type: ceph, content: [images, nonsense]}
users:
  - {id: nobody}
tokens:
  - {id: "somebody@pve!x", secret: s}
roles:
  R: [VM.Nonsense]
acl:
  - {path: vms, who: ghost@pve, role: Nope}
vms:
  - {id: 99, host: pve9, config: {bogus: 1, memory: lots, scsi0: "nope:vm-99-disk-0,size=1G"}}
mappings:
  - {id: m1, map: ["node=pve1"]}
faults:
  - {effect: explode}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`unknown field "bogus"`, `version "7.4"`, `host "pve1": cpus is 0`, `write it as "0000:af:00.0"`, `class "0300"`, `id "10de-1eb8"`,
		"group -2", `host "pve1": given twice`, `type "ceph" is not simulated`, `content "nonsense"`, `user "nobody"`, "root@pam is missing",
		`token "somebody@pve!x"`, `privilege "VM.Nonsense" does not exist`, `"ghost@pve" is no user`, `role "Nope" is not known`,
		`path "vms" does not begin with /`, "vm 99: want an id", `host "pve9" is not a host`, `option "bogus" does not exist`, `option "memory" is "lots"`,
		`storage "nope" is not known`, `mapping "m1"`, `effect "explode"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not contain %q", want)
		}
	}
}

func TestTheWorldsOfTheRepositoryLoad(t *testing.T) {
	files, err := filepath.Glob("../../testdata/worlds/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("worlds: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			newSim(t, loadWorld(t, file))
		})
	}
}

func TestTheHomelabIsWhatItSays(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		state := sim.State()
		if v := state.VMs[204]; !v.Running || v.Name != "vdi-7" || len(v.Devices) != 1 || v.Devices[0] != "0000:81:00.0" {
			t.Errorf("vdi-7 is %+v", v)
		}
		engine, weak, audit := sim.as(t, engineToken), sim.as(t, weakToken), sim.as(t, auditToken)
		for _, c := range []*client{engine, weak, audit} {
			if n := len(c.do("GET", "/cluster/resources", "type", "vm").list()); n != 6 {
				t.Errorf("a token sees %d VMs, want 6", n)
			}
			c.do("GET", "/nodes/pve1/hardware/pci").ok()
			if n := len(c.do("GET", "/nodes/pve1/network", "type", "any_bridge").list()); n != 2 {
				t.Errorf("a token sees %d bridges, want 2", n)
			}
		}
		const denied = "Permission check failed (/mapping/pci, Mapping.Modify)"
		weak.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).refused(403, denied)
		audit.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).refused(403, denied)
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).ok()
		audit.do("POST", qemu("pve1", 100, "/status/stop")).refused(403, "Permission check failed (/vms/100, VM.PowerMgmt)")
	})
}

func TestAWorldsPendingOptionsWaitForTheNextStart(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		at := slices.IndexFunc(world.VMs, func(v VM) bool { return v.ID == 204 })
		world.VMs[at].Pending = map[string]any{"cores": 12, "ide0": "local-lvm:vm-204-disk-2,size=1G"}
		world.VMs[at].Deleting = []string{"hostpci0"}
		sim := newSim(t, world)
		root := sim.asRoot(t, "homelab-root")
		config := func(fields ...string) map[string]any {
			return root.do("GET", qemu("pve2", 204, "/config"), fields...).object()
		}
		if now := config("current", "1"); fmt.Sprint(now["cores"]) != "8" || now["hostpci0"] == nil || now["ide0"] != nil {
			t.Errorf("what runs is %v", now)
		}
		if next := config(); fmt.Sprint(next["cores"]) != "12" || next["hostpci0"] != nil || next["ide0"] == nil {
			t.Errorf("what will run is %v", next)
		}
		if volume := sim.State().Volumes["pve2/local-lvm:vm-204-disk-2"]; volume.VMID != 204 {
			t.Errorf("the disk to come is %+v", volume)
		}
		root.done(root.do("POST", qemu("pve2", 204, "/status/stop")), "OK")
		root.done(root.do("POST", qemu("pve2", 204, "/status/start")), "OK")
		state := sim.State().VMs[204]
		if state.Config["cores"] != "12" || state.Config["hostpci0"] != "" || len(state.Pending)+len(state.Deleting)+len(state.Devices) != 0 {
			t.Errorf("after the start it is %+v", state)
		}
	})
}

func TestAWorldsPendingOptionsAreLookedAtLikeOthers(t *testing.T) {
	_, err := LoadWorld([]byte(`
version: 9.1.4
hosts: [{name: pve1, cpus: 1, memoryGiB: 1}]
users: [{id: root@pam}]
vms:
  - {id: 100, host: pve1, config: {memory: 64}, pending: {memory: lots, scsi0: "nope:vm-100-disk-0,size=1G"}, deleting: [net0]}
  - {id: 101, host: pve1, config: {}, pending: {memory: [64]}}
`))
	for _, want := range []string{`vm 100: option "memory" is "lots"`, `vm 100: option "scsi0": storage "nope" is not known`,
		`vm 100: deleting "net0": there is no such option`, `vm 101: pending: option "memory": must be a string`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not contain %q", err, want)
		}
	}
}

// FuzzWorld searches for documents that crash the loader, or that the loader accepts
// although New fails for them.
func FuzzWorld(f *testing.F) {
	f.Add([]byte("version: 9.1.4\nhosts: [{name: a, cpus: 1, memoryGiB: 1}]\nusers: [{id: root@pam}]\n"))
	f.Add([]byte("version: 9.1.4\nhosts: [{name: a, cpus: 1, memoryGiB: 1, pci: [{address: '0000:03:00.0', class: '0x030200', id: '10de:1eb8', group: 1}]}]\n" +
		"users: [{id: root@pam}]\nvms: [{id: 100, host: a, running: true, config: {hostpci0: '03:00', net0: virtio, boot: order=scsi0, tags: 'b;a'}, pending: {net1: virtio, boot: ''}, deleting: [net0]}]\n"))
	f.Add([]byte("version: 8.4.1\nhosts: [{name: a, cpus: 1, memoryGiB: 1, bridges: [{name: vmbr0, cidr: 192.0.2.1/24}]}]\nusers: [{id: root@pam}, {id: u@pve}]\n" +
		"storages: [{name: st, type: dir, content: [images]}]\npools: [{id: p}]\ntokens: [{id: u@pve!t1, secret: s}]\nacl: [{path: /vms, who: u@pve, role: PVEAdmin}]\n" +
		"mappings: [{id: m1, map: ['node=a,path=0000:03:00.0,id=10de:1eb8']}]\ntimings: {start: 1s}\nfaults: [{effect: hang, path: x}]\n" +
		"vms: [{id: 100, host: a, pool: p, config: {scsi0: 'st:100/vm-100-disk-0.raw,size=1G', memory: '16', smbios1: serial=x}}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		world, err := LoadWorld(data)
		if err != nil {
			return
		}
		sim, err := New(world, WithLog(func(string, ...any) {}))
		if err != nil {
			t.Fatalf("a world that loads cannot be simulated: %v", err)
		}
		sim.State()
		sim.Close()
	})
}
