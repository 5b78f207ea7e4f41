package pvesim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestADigestGuardsAConfiguration(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		const path = "/nodes/pve1/qemu/9000/config"
		digest := engine.do("GET", path).object()["digest"].(string)
		engine.do("PUT", path, "memory", "4096", "digest", digest).ok()
		engine.do("PUT", path, "memory", "8192", "digest", digest).refused(500, "checksum mismatch (file change by other user?)")
		engine.do("POST", path, "memory", "8192", "digest", digest).refused(500, "checksum mismatch (file change by other user?)")
		if got := sim.State().VMs[9000]; got.Config["memory"] != "4096" || got.Digest == digest {
			t.Errorf("memory %s, digest unchanged: %v", got.Config["memory"], got.Digest == digest)
		}
	})
}

func TestChangesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		vmid   int
		fields []string
		check  func(*reply)
	}{
		"no option":            {100, nil, func(r *reply) { r.refused(500, "no options specified") }},
		"a locked VM":          {120, []string{"memory", "512"}, func(r *reply) { r.refused(500, "VM is locked (backup)") }},
		"an unknown option":    {100, []string{"bogus", "1"}, complaint("bogus", unknownProperty)},
		"an index too high":    {100, []string{"hostpci16", "mapping=x1"}, complaint("hostpci16", unknownProperty)},
		"deleting a mystery":   {100, []string{"delete", "nope"}, complaint("delete", "unknown option 'nope'")},
		"setting and deleting": {100, []string{"memory", "512", "delete", "memory"}, complaint("delete", "you can't use '-memory' and -delete memory' at the same time")},
		"a drive of a protected VM": {110, []string{"delete", "scsi0"}, func(r *reply) {
			r.refused(500, "can't remove drive 'scsi0' - protection mode enabled")
		}},
		"options for root":               {100, []string{"args", "-no-reboot"}, func(r *reply) { r.refused(500, "only root can set 'args' config") }},
		"hugepages by a token":           {100, []string{"hugepages", "1024"}, func(r *reply) { r.refused(500, "only root can set 'hugepages' config") }},
		"skiplock by a token":            {100, []string{"skiplock", "1", "memory", "512"}, complaint("skiplock", "Only root may use this option.")},
		"keys without encoding":          {100, []string{"sshkeys", "ssh-ed25519 AAAA x"}, complaint("sshkeys", "invalid format - invalid urlencoded string: ssh-ed25519 AAAA x\n")},
		"keys that are none":             {100, []string{"sshkeys", "garbage"}, func(r *reply) { r.refused(500, "SSH public key validation error") }},
		"a tag with a colon":             {100, []string{"tags", "gpu:1"}, complaint("tags", "invalid format - invalid characters in tag\n")},
		"a storage for files":            {100, []string{"scsi1", "local:1"}, complaint("storage", "storage 'local' does not support vm images")},
		"an ISO that is gone":            {100, []string{"ide0", "local:iso/nope.iso,media=cdrom"}, func(r *reply) { r.refused(500, "volume 'local:iso/nope.iso' does not exist") }},
		"an import with a size":          {100, []string{"scsi1", "local-lvm:1,import-from=local-lvm:vm-100-disk-0"}, complaint("scsi1", "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>")},
		"an import of an ISO":            {100, []string{"scsi1", "local-lvm:0,import-from=local:iso/x.iso"}, complaint("scsi1", "local:iso/x.iso has wrong type 'iso' - needs to be 'images' or 'import'")},
		"an SSD on virtio":               {100, []string{"virtio1", "local-lvm:1,ssd=1"}, complaint("virtio1", "invalid format - format error\nvirtio1.ssd: "+unknownProperty+"\n")},
		"a limit twice":                  {100, []string{"scsi1", "local-lvm:1,mbps=10,mbps_rd=5"}, complaint("scsi1", "unable to parse drive options")},
		"an ISO as a disk":               {100, []string{"scsi1", "local:iso/x.iso"}, complaint("scsi1", "explicit 'media=cdrom' is required for iso images")},
		"a device of the host":           {100, []string{"scsi1", "/dev/sda"}, func(r *reply) { r.refused(500, "Only root can pass arbitrary filesystem paths.") }},
		"no memory":                      {100, []string{"memory", ""}, complaint("memory", "invalid format - format error\nmemory.current: property is missing and it is not optional\n")},
		"two models of a card":           {100, []string{"net0", "virtio,virtio=02:00:00:00:00:02"}, complaint("net0", "invalid format - key alias 'model' is already defined\n")},
		"a gateway without an address":   {100, []string{"ipconfig0", "gw=192.0.2.1"}, complaint("ipconfig0", "invalid format - format error\nipconfig0.ip: missing property required by 'ipconfig0.gw'\n")},
		"a CPU that nobody makes":        {100, []string{"cpu", "nope"}, complaint("cpu", "invalid format - Built-in cputype 'nope' is not defined (missing 'custom-' prefix?)\n")},
		"booting from what is not there": {100, []string{"boot", "order=net7"}, func(r *reply) { r.refused(500, "invalid bootorder: device 'net7' does not exist'") }},
		"booting from a mystery":         {100, []string{"boot", "order=tpmstate0"}, complaint("boot", "invalid format - format error\nboot.order: invalid format - invalid boot device 'tpmstate0'\n\n")},
		"a vIOMMU of Intel without q35":  {100, []string{"machine", "pc,viommu=intel"}, func(r *reply) { r.refused(500, "to use Intel vIOMMU please set the machine type to q35") }},
		"a new generation by a token":    {100, []string{"vmgenid", "1"}, func(r *reply) { r.refused(500, "only root can set 'vmgenid' config") }},
		"the order of starting":          {100, []string{"startup", "order=1"}, func(r *reply) { r.refused(403, "Permission check failed (/, Sys.Modify)") }},
		"a serial port of the host":      {100, []string{"serial0", "/dev/ttyS0"}, func(r *reply) { r.refused(500, "only root can modify 'serial0' config for real devices") }},
		"a USB device of the host":       {100, []string{"usb0", "host=1234:abcd"}, func(r *reply) { r.refused(500, "only root can set 'usb0' config for real devices") }},
		"reverting and deleting":         {100, []string{"revert", "cores", "delete", "cores"}, complaint("revert", "you can't use '-delete cores' and -revert cores' at the same time")},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				world := homelab(t)
				world.VMs = append(world.VMs, VM{ID: 120, Host: "pve1", Config: map[string]any{"lock": "backup"}})
				sim := newSim(t, world)
				host := map[int]string{100: "pve1", 110: "pve3", 120: "pve1"}[tc.vmid]
				before := sim.State().VMs[tc.vmid]
				tc.check(sim.as(t, engineToken).do("PUT", qemu(host, tc.vmid, "/config"), tc.fields...))
				if diff := cmp.Diff(before, sim.State().VMs[tc.vmid]); diff != "" {
					t.Errorf("a refused change changed:\n%s", diff)
				}
			})
		})
	}
}

// complaint checks for a 400 with an error for one parameter.
func complaint(field, text string) func(*reply) {
	return func(r *reply) {
		r.t.Helper()
		if r.code != 400 || r.errors[field] != text || len(r.errors) != 1 {
			r.t.Errorf("got %d %v, want 400 with %s: %q", r.code, r.errors, field, text)
		}
	}
}

func TestARunningVMsDevicesWaitForARestart(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		const path = "/nodes/pve1/qemu/100"
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).ok()
		engine.do("PUT", path+"/config", "hostpci0", "mapping=gpu-1", "memory", "4096", "name", "dns-2", "tags", "a", "onboot", "0").ok()

		shown, running := engine.do("GET", path+"/config").object(), engine.do("GET", path+"/config", "current", "1").object()
		if shown["hostpci0"] != "mapping=gpu-1" || shown["memory"] != "4096" || running["hostpci0"] != nil || running["memory"] != "1024" {
			t.Errorf("config shows %v and %v, current %v and %v", shown["hostpci0"], shown["memory"], running["hostpci0"], running["memory"])
		}
		if running["name"] != "dns-2" || running["tags"] != "a" || running["onboot"] != 0.0 {
			t.Errorf("name, tags and onboot apply at once, got %v, %v, %v", running["name"], running["tags"], running["onboot"])
		}
		pending := func() map[string]any {
			out := map[string]any{}
			for _, e := range engine.do("GET", path+"/pending").list() {
				entry := e.(map[string]any)
				if entry["pending"] != nil || entry["delete"] != nil {
					out[entry["key"].(string)] = []any{entry["value"], entry["pending"], entry["delete"]}
				}
			}
			return out
		}
		want := map[string]any{"hostpci0": []any{nil, "mapping=gpu-1", nil}, "memory": []any{"1024", "4096", nil}}
		if diff := cmp.Diff(want, pending()); diff != "" {
			t.Errorf("pending (-want +got):\n%s", diff)
		}
		engine.do("PUT", path+"/config", "revert", "memory").ok()
		engine.do("PUT", path+"/config", "delete", "cores").ok()
		want = map[string]any{"hostpci0": []any{nil, "mapping=gpu-1", nil}, "cores": []any{1.0, nil, 1.0}}
		if diff := cmp.Diff(want, pending()); diff != "" {
			t.Errorf("pending after revert and delete (-want +got):\n%s", diff)
		}
		engine.done(engine.do("POST", path+"/status/shutdown"), "OK")
		engine.done(engine.do("POST", path+"/status/start"), "OK")
		if got := sim.State().VMs[100]; len(got.Pending)+len(got.Deleting) > 0 || got.Config["cores"] != "" || len(got.Devices) != 1 {
			t.Errorf("after a restart: %+v", got)
		}
	})
}

func TestAChangeThatFailsInTheMiddleLeavesAPart(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		weak := sim.as(t, weakToken)
		sim.as(t, engineToken).do("PUT", "/cluster/mapping/pci/vdi-t4", "map", t4pve2b, "description", "").ok()
		if err := sim.Inject(Fault{Method: "PUT", Path: "/config$", Effect: PartialConfig, Options: 1, Text: "got timeout"}); err != nil {
			t.Fatal(err)
		}
		weak.do("PUT", qemu("pve1", 9000, "/config"), "cores", "4", "memory", "8192").refused(500, "got timeout")
		if got := sim.State().VMs[9000].Config; got["cores"] != "4" || got["memory"] != "2048" {
			t.Errorf("cores %s, memory %s; want the first option written, the second not", got["cores"], got["memory"])
		}
	})
}

func TestAHeldLockTimesOut(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		// The nas ignores nothing, but has not booted after a reset; its
		// shutdown holds the lock for a minute.
		engine.done(engine.do("POST", qemu("pve3", 110, "/status/reset")), "OK")
		shutdown := engine.do("POST", qemu("pve3", 110, "/status/shutdown"))
		pause(t, time.Second)
		if !sim.State().VMs[110].Busy {
			t.Fatal("nobody holds the lock")
		}
		began := time.Now()
		engine.do("PUT", qemu("pve3", 110, "/config"), "description", "x").
			refused(500, "can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the refusal took %v, want 10 s", took)
		}
		engine.done(shutdown, "VM quit/powerdown failed - got timeout")
		engine.do("PUT", qemu("pve3", 110, "/config"), "description", "x").ok()
	})
}

func TestTagsMayHaveRules(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Datacenter = Datacenter{RegisteredTags: []string{"admin"}, UserTags: "list", UserTagsAllowed: []string{"gpuworker", "vdi"}}
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		denied := func(tag string) string {
			return "Permission check failed (/, Sys.Modify for modifying tag '" + tag + "')"
		}
		engine.do("PUT", qemu("pve2", 204, "/config"), "tags", "vdi;gpuworker").ok()
		engine.do("PUT", qemu("pve2", 204, "/config"), "tags", "vdi;other").refused(403, denied("other"))
		engine.do("PUT", qemu("pve2", 204, "/config"), "tags", "vdi;admin").refused(403, denied("admin"))
		sim.asRoot(t, rootPass).do("PUT", qemu("pve2", 204, "/config"), "tags", "vdi;admin;other").ok()
		// What stays is not looked at.
		engine.do("PUT", qemu("pve2", 204, "/config"), "tags", "vdi;admin;other;gpuworker").ok()
		engine.do("PUT", qemu("pve2", 204, "/config"), "tags", "vdi").refused(403, denied("admin"))
	})
}

func TestDisksAreMadeMovedAsideAndRemoved(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "bios", "ovmf", "efidisk0", "local-lvm:1,efitype=4m,pre-enrolled-keys=0", "scsi0", "local-lvm:8", "ide2", "local-lvm:cloudinit")
		config := func() map[string]string { return sim.State().VMs[300].Config }
		if got := config(); got["efidisk0"] != "local-lvm:vm-300-disk-0,efitype=4m,pre-enrolled-keys=0,size=4M" || got["scsi0"] != "local-lvm:vm-300-disk-1,size=8G" ||
			got["ide2"] != "local-lvm:vm-300-cloudinit,media=cdrom" || got["boot"] != "order=scsi0;ide2" {
			t.Errorf("config: %v", got)
		}
		root.done(root.do("PUT", qemu("pve1", 300, "/resize"), "disk", "scsi0", "size", "+2G"), "OK")
		root.done(root.do("PUT", qemu("pve1", 300, "/resize"), "disk", "scsi0", "size", "5G"), "shrinking disks is not supported")
		root.done(root.do("PUT", qemu("pve1", 300, "/resize"), "disk", "scsi9", "size", "5G"), "disk 'scsi9' does not exist")
		root.do("PUT", qemu("pve1", 300, "/config"), "ide3", "local-lvm:cloudinit").refused(500, "ide3 - cloud-init drive is already attached at 'ide2'")
		root.do("PUT", qemu("pve1", 300, "/config"), "delete", "scsi0,ide2").ok()
		if got := config(); got["unused0"] != "local-lvm:vm-300-disk-1" || got["scsi0"] != "" || got["boot"] != "" {
			t.Errorf("after detaching: unused0 %q, scsi0 %q, boot %q", got["unused0"], got["scsi0"], got["boot"])
		}
		volumes := func() (names []string) {
			for _, v := range sim.State().Volumes {
				if v.VMID == 300 {
					names = append(names, v.ID)
				}
			}
			return names
		}
		if got := volumes(); len(got) != 2 {
			t.Errorf("a detached disk stays, a detached cloud-init drive goes: %v", got)
		}
		root.done(root.do("DELETE", qemu("pve1", 300)), "OK")
		if got := volumes(); len(got) != 0 {
			t.Errorf("after destroying the VM there are %v", got)
		}
	})
}

func TestValuesReadBackAsStored(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		for _, tc := range []struct {
			key, value string
			want       any
		}{
			{"tags", "B,a c;a", "a;b;c"},
			{"description", "two\nlines\n", "two\nlines"},
			{"memory", "current=4096", "current=4096"},
			{"cores", "4", 4.0},
			{"onboot", "1", 1.0},
			{"agent", "enabled=1,type=virtio", "enabled=1,type=virtio"},
			{"net0", "virtio=02:00:00:00:00:01,tag=7,bridge=vmbr1", "virtio=02:00:00:00:00:01,bridge=vmbr1,tag=7"},
			{"cipassword", "geheim", "**********"},
			{"ipconfig0", "ip=192.0.2.20/24,gw=192.0.2.1", "ip=192.0.2.20/24,gw=192.0.2.1"},
			{"tags", "", " "},
		} {
			engine.do("PUT", qemu("pve1", 9000, "/config"), tc.key, tc.value).ok()
			if got := engine.do("GET", qemu("pve1", 9000, "/config")).object()[tc.key]; got != tc.want {
				t.Errorf("%s set to %q reads %v, want %v", tc.key, tc.value, got, tc.want)
			}
		}
	})
}
