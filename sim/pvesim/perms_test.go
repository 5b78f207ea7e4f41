package pvesim

import (
	"fmt"
	"strings"
	"testing"
)

// recorded is the world with one token for each missing privilege.
func recorded(t *testing.T) World {
	t.Helper()
	return loadWorld(t, "../../testdata/worlds/recorded.yaml")
}

// token returns the secret of a token of a world.
func token(t *testing.T, w World, id string) string {
	t.Helper()
	for _, tok := range w.Tokens {
		if tok.ID == id {
			return tok.ID + "=" + tok.Secret
		}
	}
	t.Fatalf("no token %s", id)
	return ""
}

// furnished returns a simulator of the recorded world with a template (9000), a VM (100),
// a VM with a mapped card (101) and two mappings.
func furnished(t *testing.T) (*Sim, World, *client) {
	t.Helper()
	w := recorded(t)
	sim := newSim(t, w)
	root := sim.asRoot(t, "rec-root-pass")
	card := func(address, group string) string {
		return "node=pve1,path=" + address + ",id=10de:1eb8,iommugroup=" + group + ",subsystem-id=10de:12a2"
	}
	root.do("POST", "/cluster/mapping/pci", "id", "gpu-a", "map", card("0000:17:00.0", "20")).ok()
	root.do("POST", "/cluster/mapping/pci", "id", "gpu-b", "map", card("0000:3b:00.0", "21")).ok()
	root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "9000", "name", "tmpl", "scsi0", "images:2", "ide2", "images:cloudinit",
		"net0", "virtio,bridge=vmbr0", "machine", "q35"), "OK")
	root.done(root.do("POST", qemu("pve1", 9000, "/template")), "OK")
	root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "100", "scsi0", "images:1", "net0", "virtio,bridge=vmbr0"), "OK")
	root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "101", "machine", "q35", "hostpci0", "mapping=gpu-a,pcie=1"), "OK")
	return sim, w, root
}

const anyConfigPriv = "(/vms/100, VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|" +
	"VM.Config.HWType|VM.Config.Options|VM.Config.Cloudinit)"

// Each row: a call, and for each identity without a needed privilege the text after
// "Permission check failed". Identities no-x@pve have the role GpuOps without x;
// none@pve has no privileges.
var permissionTable = []struct {
	method, path string
	fields       []string
	refused      map[string]string
}{
	{"GET", "/nodes/pve1/hardware/pci", nil, map[string]string{"none": "(/, Sys.Audit|Sys.Modify)", "no-sys-audit": "(/, Sys.Audit|Sys.Modify)"}},
	{"GET", "/nodes/pve1/status", nil, map[string]string{"none": "(/nodes/pve1, Sys.Audit)", "no-sys-audit": "(/nodes/pve1, Sys.Audit)"}},
	{"GET", "/cluster/status", nil, map[string]string{"none": "(/, Sys.Audit)", "no-sys-audit": "(/, Sys.Audit)"}},
	{"GET", "/pools/gpu", nil, map[string]string{"none": "(/pool/gpu, Pool.Audit)", "no-pool-audit": "(/pool/gpu, Pool.Audit)"}},
	{"GET", "/nodes/pve1/storage/local/content", nil, map[string]string{"none": "(/storage/local, Datastore.Audit|Datastore.AllocateSpace)"}},
	{"GET", "/nodes/pve1/storage/local/status", nil, map[string]string{"none": "(/storage/local, Datastore.Audit|Datastore.AllocateSpace)"}},
	{"GET", "/nodes/pve1/qemu/100/config", nil, map[string]string{"none": "(/vms/100, VM.Audit)", "no-vm-audit": "(/vms/100, VM.Audit)"}},
	{"GET", "/nodes/pve1/qemu/100/pending", nil, map[string]string{"none": "(/vms/100, VM.Audit)", "no-vm-audit": "(/vms/100, VM.Audit)"}},
	{"GET", "/nodes/pve1/qemu/100/status/current", nil, map[string]string{"none": "(/vms/100, VM.Audit)", "no-vm-audit": "(/vms/100, VM.Audit)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"cores", "2"}, map[string]string{"none": anyConfigPriv, "no-vm-config-cpu": "(/vms/100, VM.Config.CPU)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"memory", "512"}, map[string]string{"no-vm-config-memory": "(/vms/100, VM.Config.Memory)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"machine", "q35"}, map[string]string{"no-vm-config-hwtype": "(/vms/100, VM.Config.HWType)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"tags", "x"}, map[string]string{"no-vm-config-options": "(/vms/100, VM.Config.Options)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"delete", "name"}, map[string]string{"no-vm-config-options": "(/vms/100, VM.Config.Options)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"scsi1", "images:1"}, map[string]string{
		"no-vm-config-disk": "(/vms/100, VM.Config.Disk)", "no-datastore-allocatespace": "(/storage/images, Datastore.AllocateSpace)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"ide2", "local:iso/debian-13.iso,media=cdrom"}, map[string]string{"no-vm-config-cdrom": "(/vms/100, VM.Config.CDROM)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"ide3", "images:cloudinit"}, map[string]string{"no-vm-config-cloudinit": "(/vms/100, VM.Config.Cloudinit)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"net1", "virtio,bridge=vmbr0"}, map[string]string{
		"no-vm-config-network": "(/vms/100, VM.Config.Network)", "no-sdn-use": "(/sdn/zones/localnetwork/vmbr0, SDN.Use)"}},
	{"PUT", "/nodes/pve1/qemu/100/config", []string{"hostpci0", "mapping=gpu-b"}, map[string]string{
		"no-mapping-use": "(/mapping/pci/gpu-b, Mapping.Use)", "no-vm-config-hwtype": "(/vms/100, VM.Config.HWType)", "mapone": "(/mapping/pci/gpu-b, Mapping.Use)"}},
	{"PUT", "/nodes/pve1/qemu/101/config", []string{"hostpci0", "mapping=gpu-b"}, map[string]string{"no-mapping-use": "(/mapping/pci/gpu-a, Mapping.Use)"}},
	{"PUT", "/nodes/pve1/qemu/101/config", []string{"delete", "hostpci0"}, map[string]string{"no-mapping-use": "(/mapping/pci/gpu-a, Mapping.Use)"}},
	{"PUT", "/nodes/pve1/qemu/100/resize", []string{"disk", "scsi0", "size", "+1G"}, map[string]string{"no-vm-config-disk": "(/vms/100, VM.Config.Disk)"}},
	{"POST", "/nodes/pve1/qemu/100/template", nil, map[string]string{"no-vm-allocate": "(/vms/100, VM.Allocate)"}},
	{"POST", "/nodes/pve1/qemu/100/status/start", nil, map[string]string{"none": "(/vms/100, VM.PowerMgmt)", "no-vm-powermgmt": "(/vms/100, VM.PowerMgmt)"}},
	{"POST", "/nodes/pve1/qemu/100/status/stop", nil, map[string]string{"none": "(/vms/100, VM.PowerMgmt)", "no-vm-powermgmt": "(/vms/100, VM.PowerMgmt)"}},
	{"POST", "/nodes/pve1/qemu/100/status/shutdown", nil, map[string]string{"no-vm-powermgmt": "(/vms/100, VM.PowerMgmt)"}},
	{"POST", "/nodes/pve1/qemu/100/status/reboot", nil, map[string]string{"no-vm-powermgmt": "(/vms/100, VM.PowerMgmt)"}},
	{"DELETE", "/nodes/pve1/qemu/100", nil, map[string]string{"none": "(/vms/100, VM.Allocate)", "no-vm-allocate": "(/vms/100, VM.Allocate)"}},
	{"POST", "/nodes/pve1/qemu", []string{"vmid", "300"}, map[string]string{"none": "", "no-vm-allocate": "", "auditor": ""}},
	{"POST", "/nodes/pve1/qemu", []string{"vmid", "300", "memory", "256"}, map[string]string{"no-vm-config-memory": "(/vms/300, VM.Config.Memory)"}},
	{"POST", "/nodes/pve1/qemu/9000/clone", []string{"newid", "300"}, map[string]string{
		"none": "(/vms/9000, VM.Clone)", "no-vm-clone": "(/vms/9000, VM.Clone)", "no-vm-allocate": "", "scoped": "",
		"no-datastore-allocatespace": "(/storage/images, Datastore.AllocateSpace)", "no-sdn-use": "(/sdn/zones/localnetwork/vmbr0, SDN.Use)"}},
	{"POST", "/nodes/pve1/qemu/101/clone", []string{"newid", "300"}, map[string]string{"no-mapping-use": "(/mapping/pci/gpu-a, Mapping.Use)"}},
	{"POST", "/nodes/pve1/qemu/100/agent/ping", nil, map[string]string{"none": "(/vms/100, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)"}},
	{"GET", "/nodes/pve1/qemu/100/agent/network-get-interfaces", nil, map[string]string{"none": "(/vms/100, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)"}},
	{"POST", "/nodes/pve1/qemu/100/agent/exec", []string{"command", "id"}, map[string]string{"no-vm-guestagent-unrestricted": "(/vms/100, VM.GuestAgent.Unrestricted)"}},
	{"POST", "/nodes/pve1/qemu/100/agent/file-write", []string{"file", "/x", "content", "y"}, map[string]string{"none": "(/vms/100, VM.GuestAgent.FileWrite|VM.GuestAgent.Unrestricted)"}},
	{"POST", "/cluster/mapping/pci", []string{"id", "new", "map", "node=pve1,path=0000:17:00.0,id=10de:1eb8"}, map[string]string{
		"none": "(/mapping/pci, Mapping.Modify)", "mapuse": "(/mapping/pci, Mapping.Modify)", "mapaudit": "(/mapping/pci, Mapping.Modify)"}},
	{"PUT", "/cluster/mapping/pci/gpu-a", []string{"description", "x"}, map[string]string{"mapuse": "(/mapping/pci/gpu-a, Mapping.Modify)", "none": "(/mapping/pci/gpu-a, Mapping.Modify)"}},
	{"DELETE", "/cluster/mapping/pci/gpu-a", nil, map[string]string{"mapuse": "(/mapping/pci, Mapping.Modify)", "none": "(/mapping/pci, Mapping.Modify)"}},
	{"GET", "/cluster/mapping/pci/gpu-b", nil, map[string]string{"none": "", "scoped": ""}},
	{"DELETE", "/nodes/pve1/storage/local/content/local:iso/debian-13.iso", nil, map[string]string{"none": "(/storage/local, Datastore.Allocate)", "no-sys-audit": "(/storage/local, Datastore.Allocate)"}},
	{"GET", "/access/permissions", []string{"userid", "ops@pve"}, map[string]string{"none": "(/access, Sys.Audit)"}},
}

func TestEachCallNamesThePrivilegeThatIsMissing(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, _ := furnished(t)
		for _, row := range permissionTable {
			for who, words := range row.refused {
				c := sim.as(t, token(t, w, who+"@pve!tk"))
				want := strings.TrimSuffix("Permission check failed "+words, " ")
				if got := c.do(row.method, row.path, row.fields...); got.code != 403 || got.reason != want {
					t.Errorf("%s %s %v as %s: got %d %q, want 403 %q", row.method, row.path, row.fields, who, got.code, got.reason, want)
				}
			}
		}
	})
}

func TestARefusedCallChangesNothing(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, _ := furnished(t)
		before := sim.State()
		for _, row := range permissionTable {
			for who := range row.refused {
				sim.as(t, token(t, w, who+"@pve!tk")).do(row.method, row.path, row.fields...)
			}
		}
		after := sim.State()
		for id, v := range before.VMs {
			if after.VMs[id].Digest != v.Digest {
				t.Errorf("VM %d was changed", id)
			}
		}
		if len(after.VMs) != len(before.VMs) || len(after.Mappings) != len(before.Mappings) || len(after.Volumes) != len(before.Volumes) {
			t.Errorf("there are %d VMs, %d mappings, %d volumes; before there were %d, %d, %d", len(after.VMs), len(after.Mappings),
				len(after.Volumes), len(before.VMs), len(before.Mappings), len(before.Volumes))
		}
		if len(after.Tasks) != len(before.Tasks) {
			t.Errorf("refused calls started %d tasks", len(after.Tasks)-len(before.Tasks))
		}
	})
}

func TestThePermittedCallOfEachRowWorks(t *testing.T) {
	for i, row := range permissionTable {
		t.Run(fmt.Sprintf("%s %s %s", row.method, row.path, strings.Join(row.fields, " ")), func(t *testing.T) {
			play(t, func(t *testing.T) {
				_, _, root := furnished(t)
				if strings.Contains(row.path, "/agent/") || permissionTable[i].path == "/nodes/pve1/qemu/100/status/reboot" {
					// These need a running guest; what matters is that it is not 403.
					if got := root.do(row.method, row.path, row.fields...); got.code == 403 {
						t.Errorf("root is refused: %s", got.reason)
					}
					return
				}
				fields := row.fields
				if row.path == "/cluster/mapping/pci/gpu-a" && row.method == "PUT" {
					fields = append(fields, "map", "node=pve1,path=0000:17:00.0,id=10de:1eb8")
				}
				root.do(row.method, row.path, fields...).ok()
			})
		})
	}
}

func TestRawDevicesAreForRootWithAPasswordOnly(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, root := furnished(t)
		const words = "only root can set 'hostpci0' config for non-mapped devices"
		config := qemu("pve1", 100, "/config")
		for _, id := range []string{"root@pam!auto", "ops@pve!ci"} {
			c := sim.as(t, token(t, w, id))
			c.do("PUT", config, "hostpci0", "0000:3b:00.0").refused(500, words)
			c.done(c.do("POST", config, "hostpci0", "0000:3b:00.0"), words)
		}
		root.do("PUT", config, "hostpci0", "0000:3b:00.0").ok()
		for _, id := range []string{"root@pam!auto", "ops@pve!ci"} {
			c := sim.as(t, token(t, w, id))
			c.do("PUT", config, "hostpci0", "mapping=gpu-b").refused(500, words)
			c.do("PUT", config, "delete", "hostpci0").refused(500, words)
			c.do("POST", qemu("pve1", 100, "/clone"), "newid", "300").refused(500, words)
			// Starting and destroying needs no such right.
			c.done(c.do("POST", qemu("pve1", 100, "/status/start")), "OK")
			c.done(c.do("POST", qemu("pve1", 100, "/status/stop")), "OK")
		}
		root.do("PUT", config, "delete", "hostpci0").ok()
	})
}

func TestAVMInAPoolHasThePoolsPermissions(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, _ := furnished(t)
		scoped := sim.as(t, token(t, w, "scoped@pve!tk"))
		scoped.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		scoped.done(scoped.do("POST", qemu("pve1", 9000, "/clone"), "newid", "300", "pool", "gpu"), "OK")
		scoped.do("GET", qemu("pve1", 300, "/config")).ok()
		scoped.do("POST", qemu("pve1", 9000, "/clone"), "newid", "301", "pool", "nope").refused(403, "Permission check failed")
	})
}

func TestPrivilegesByVersion(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Version = "8.4.1"
		if _, err := New(world); err == nil || !strings.Contains(err.Error(), "VM.GuestAgent.Audit") || !strings.Contains(err.Error(), "does not exist in Proxmox VE 8.4.1") {
			t.Fatalf("a role with privileges of version 9 in a world of version 8: %v", err)
		}
		world.Roles = map[string][]string{"NoMonitor": {"VM.Audit", "VM.PowerMgmt"}, "Monitor": {"VM.Audit", "VM.Monitor"}}
		world.ACL = []ACL{{Path: "/", Subject: "gpuworker@pve", Role: "Administrator"},
			{Path: "/vms", Subject: "gpuworker@pve!weak", Role: "NoMonitor"}, {Path: "/vms", Subject: "gpuworker@pve!engine", Role: "Monitor"}}
		sim := newSim(t, world)
		sim.as(t, weakToken).do("POST", qemu("pve1", 100, "/agent/ping")).refused(403, "Permission check failed (/vms/100, VM.Monitor)")
		sim.as(t, engineToken).do("POST", qemu("pve1", 100, "/agent/ping")).ok()
	})
}

func TestPermissionsOfAPathReplaceThoseFromAbove(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, _ := furnished(t)
		permissions := func(id, path string) map[string]any {
			t.Helper()
			got := sim.as(t, token(t, w, id)).do("GET", "/access/permissions", "path", path).object()
			return got[path].(map[string]any)
		}
		// mapone has a role without Mapping.Use on / and one with nothing else
		// on one mapping.
		if got := permissions("mapone@pve!tk", "/mapping/pci/gpu-a"); len(got) != 1 || got["Mapping.Use"] != 1.0 {
			t.Errorf("on the mapping with an entry of its own: %v", got)
		}
		if got := permissions("mapone@pve!tk", "/mapping/pci/gpu-b"); got["Mapping.Use"] != nil || got["VM.Audit"] != 1.0 {
			t.Errorf("on a mapping without: %v", got)
		}
		if got := permissions("ops@pve!sep", "/vms/100"); len(got) != 0 {
			t.Errorf("a separated token without entries has %v", got)
		}
		if got := permissions("ops@pve!half", "/vms/100"); got["VM.Audit"] != 1.0 || got["VM.Config.CPU"] != nil || got["SDN.Audit"] != nil {
			t.Errorf("a separated token has what it and its user have, got %v", got)
		}
	})
}

func TestPermissionsOfGroupsAndWithoutPropagation(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Users = append(world.Users, User{ID: "a@pve"})
		world.Groups = []Group{{ID: "staff", Users: []string{"a@pve"}}}
		world.Tokens = append(world.Tokens, Token{ID: "a@pve!t1", Secret: "s", NoPrivSep: true})
		world.ACL = append(world.ACL, ACL{Path: "/vms", Subject: "@staff", Role: "PVEVMUser"},
			ACL{Path: "/vms/100", Subject: "a@pve", Role: "NoAccess"}, ACL{Path: "/storage", Subject: "a@pve", Role: "PVEDatastoreUser", NoPropagate: true})
		a := newSim(t, world).as(t, "a@pve!t1=s")
		a.do("GET", qemu("pve2", 204, "/config")).ok()
		a.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		a.do("GET", "/nodes/pve1/storage/local/content").refused(403, "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)")
		if got := a.do("GET", "/access/permissions", "path", "/storage").object()["/storage"].(map[string]any)["Datastore.Audit"]; got != 0.0 {
			t.Errorf("a privilege that does not propagate is shown as %v, want 0", got)
		}
	})
}

func TestPVEAdminCannotChangeMappings(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.ACL = []ACL{{Path: "/", Subject: "gpuworker@pve", Role: "Administrator"}, {Path: "/", Subject: "gpuworker@pve!engine", Role: "PVEAdmin"}}
		engine := newSim(t, world).as(t, engineToken)
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).refused(403, "Permission check failed (/mapping/pci, Mapping.Modify)")
		engine.do("PUT", qemu("pve1", 9000, "/config"), "hostpci0", "mapping=vdi-t4").ok()
	})
}
