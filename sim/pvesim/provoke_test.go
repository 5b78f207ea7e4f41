package pvesim

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// provocations show how each text is caused: by the world, a sequence of calls or a
// fault.
var provocations = func() map[string]provocation {
	all := map[string]provocation{}
	for _, part := range []map[string]provocation{startTexts, cloneTexts, configTexts, taskTexts, seedTexts, agentTexts, httpTexts, migrationTexts} {
		maps.Copy(all, part)
	}
	return all
}()

var startTexts = map[string]provocation{
	"q35 machine model is not enabled":        starting(t4pve1, "hostpci0", "mapping=m1,pcie=1"),
	"no PCI device found for '0000:99:00.0'":  starting("", "hostpci0", "0000:99:00.0"),
	"PCI device mapping not found for 'nope'": starting("", "hostpci0", "mapping=nope"),
	"PCI device mapping not found for 'm1'":   starting(t4pve2, "hostpci0", "mapping=m1"),
	"PCI device mapping invalid (hardware probably changed): 'id' does not match for 'm1' (10de:1eb8 != 10de:1eb9)": starting(
		strings.Replace(t4pve1, "1eb8", "1eb9", 1), "hostpci0", "mapping=m1"),
	"PCI device mapping invalid (hardware probably changed): 'iommugroup' does not match for 'm1' (14 != 15)": starting(
		strings.Replace(t4pve1, "=14", "=15", 1), "hostpci0", "mapping=m1"),
	// A card that has another address after the host was rebooted.
	"PCI device mapping invalid (hardware probably changed): pci device '0000:03:00.0' not found": {nil, func(sim *Sim, _, root *client) string {
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1).ok()
		vmWith(root, "pve1", 300, "hostpci0", "mapping=m1")
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		rebootRenumbered(root, sim, "0000:03:00.0", "0000:04:10.0")
		return root.told(root.do("POST", qemu("pve1", 300, "/status/start")))
	}},
	"device '0000:03:00.0' assigned more than once": starting(t4pve1, "hostpci0", "mapping=m1", "hostpci1", "0000:03:00.0"),
	"could not find a free device for 'hostpci0'": {nil, func(_ *Sim, _, root *client) string {
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve2b, "map", t4pve2).ok()
		vmWith(root, "pve2", 300, "hostpci0", "mapping=m1")
		vmWith(root, "pve2", 301, "hostpci0", "mapping=m1")
		root.done(root.do("POST", qemu("pve2", 300, "/status/start")), "OK")
		return root.told(root.do("POST", qemu("pve2", 301, "/status/start")))
	}},
	"PCI device '0000:03:00.0' is currently reserved for use by VMID '301'": {nil, func(_ *Sim, _, root *client) string {
		vmWith(root, "pve1", 300, "hostpci0", "0000:03:00.0")
		vmWith(root, "pve1", 301, "hostpci0", "0000:03:00.0", "memory", "32768")
		root.do("POST", qemu("pve1", 301, "/status/start")).ok()
		pause(root.t, time.Second)
		return root.told(root.do("POST", qemu("pve1", 300, "/status/start")))
	}},
	"PCI device '0000:81:00.0' already in use by VMID '204'": startingOn("pve2", t4pve2b, nil, "hostpci0", "mapping=m1"),
	"cannot prepare PCI pass-through, IOMMU not present":     startingOn("pve3", rtxPve3, nil, "hostpci0", "mapping=m1"),
	"no pci device info for device '0000:03:00.0'":           startingOn("pve1", "", withFunction("0000:03:00.0", broken("info")), "hostpci0", "0000:03:00.0"),
	"Cannot open iommu_group: No such file or directory": startingOn("pve1", "",
		withFunction("0000:03:00.0", func(f *PCIFunction) { f.Group = -1 }), "hostpci0", "0000:03:00.0"),
	"can't unbind/bind PCI group to VFIO '0000:03:00.0'": startingOn("pve1", "", withFunction("0000:03:00.0", broken("group")), "hostpci0", "0000:03:00.0"),
	// The group's network card does not let go.
	"Cannot bind 0000:42:00.0 to vfio": startingOn("pve1", "", withFunction("0000:42:00.0", broken("bind")), "hostpci0", "0000:41:00"),
	"Cannot find vfio-pci module!":     startingOn("pve1", "", func(w *World) { w.Hosts[0].NoVFIO = true }, "hostpci0", "0000:03:00.0"),
	"failed to reset PCI device '0000:03:00.0', but trying to continue": startingOn("pve1", "", withFunction("0000:03:00.0", broken("reset")),
		"hostpci0", "0000:03:00.0"),
	"start failed: QEMU exited with code 1": starting("", "net0", "virtio,bridge=vmbr9"),
	// Nobody sees to the group of a card that keeps its driver.
	"group 14 is not viable": startingOn("pve1", "", withFunction("0000:04:00.0", func(f *PCIFunction) { f.Group = 14 }),
		"hostpci0", "0000:03:00.0,driver=keep"),
	"Cannot allocate memory":                                     startingOn("pve2", t4pve2, nil, "memory", "98304", "hostpci0", "mapping=m1"),
	"Cannot set both 'host' and 'mapping'.":                      starting(t4pve1, "hostpci0", "03:00.0,mapping=m1"),
	"Either 'host' or 'mapping' must be set.":                    starting("", "hostpci0", "pcie=1"),
	"only root can set 'hostpci0' config for non-mapped devices": asking("PUT", qemu("pve1", 9000, "/config"), "hostpci0", "0000:03:00.0"),
	"only root@pam can set 'romfile' option":                     asking("PUT", qemu("pve1", 9000, "/config"), "hostpci0", "mapping=vdi-t4,romfile=x.rom"),
}

// rebootRenumbered reboots pve1 and changes the address of one of its functions
// meanwhile.
func rebootRenumbered(c *client, sim *Sim, from, to string) {
	c.t.Helper()
	if err := sim.RebootHost("pve1"); err != nil {
		c.t.Fatal(err)
	}
	functions, err := sim.PCI("pve1")
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range functions {
		if functions[i].Address == from {
			functions[i].Address = to
		}
	}
	if err := sim.SetPCI("pve1", functions); err != nil {
		c.t.Fatal(err)
	}
	pause(c.t, 5*time.Minute)
}

var cloneTexts = map[string]provocation{
	"parameter 'storage' not allowed for linked clones":     asking("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "storage", "local-lvm"),
	"can't clone VM to node 'pve2' (VM uses local storage)": asking("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "target", "pve2"),
	"can't clone to non-shared storage 'local-lvm'":         asking("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "target", "pve2", "full", "1", "storage", "local-lvm"),
	"Copy-of-VM-ubuntu-22.04": {nil, func(_ *Sim, engine, _ *client) string {
		engine.done(cloning120()(engine), "OK")
		return engine.told(engine.do("GET", qemu("pve1", 120, "/config")))
	}},
	"qmclone temporary file": {slowStorage, func(_ *Sim, engine, _ *client) string {
		cloning120()(engine).ok()
		return engine.told(engine.do("GET", qemu("pve1", 120, "/config")))
	}},
	"unable to create VM 100: config file already exists":                                       asking("POST", qemu("pve1", 9000, "/clone"), "newid", "100"),
	"close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/204.conf' failed: File exists": asking("POST", qemu("pve1", 9000, "/clone"), "newid", "204"),
	"can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout":                       during(nil, cloning120(), cloning120()),
	"VM is locked (clone)": {nil, func(_ *Sim, engine, _ *client) string {
		cloning120("full", "1")(engine).ok()
		return engine.told(engine.do("PUT", qemu("pve1", 120, "/config"), "memory", "512"))
	}},
	// Each disk takes six seconds to be made, and each clone has two.
	"clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout": during(slowStorage,
		cloningTo(120), cloningTo(121), cloningTo(122)),
	"clone failed: cfs-lock 'storage-nas' error: got lock request timeout": during(slowStorage,
		cloningTo(120, "full", "1", "storage", "nas"), cloningTo(121, "full", "1", "storage", "nas"), cloningTo(122, "full", "1", "storage", "nas"),
		cloningTo(123, "full", "1", "storage", "nas")),
	"clone failed: interrupted by signal": {nil, func(_ *Sim, engine, _ *client) string {
		clone := cloning120("full", "1")(engine)
		pause(engine.t, time.Second)
		engine.do("DELETE", "/nodes/pve1/tasks/"+clone.data.(string)).ok()
		return engine.told(clone)
	}},
	"Cannot create new thin volume, free space in thin pool pve/data reached threshold.": {func(w *World) { w.Storages[1].CapacityGiB = 1 },
		func(_ *Sim, engine, _ *client) string { return engine.told(cloning120("full", "1")(engine)) }},
	"No space left on device": {func(w *World) {
		w.Storages = append(w.Storages, Storage{Name: "small", Type: "dir", Content: []string{"images"}, CapacityGiB: 0.5})
	}, func(_ *Sim, _, root *client) string {
		return root.told(cloning120("full", "1", "storage", "small")(root))
	}},
}

var configTexts = map[string]provocation{
	"VM 100 already exists": asking("GET", "/cluster/nextid", "vmid", "100"),
	"unable to create VM 204 - VM 204 already exists on node 'pve2'": asking("POST", "/nodes/pve1/qemu", "vmid", "204"),
	"checksum mismatch (file change by other user?)":                 asking("PUT", qemu("pve1", 100, "/config"), "name", "x", "digest", strings.Repeat("0", 40)),
	"detected modified configuration - file changed by other user? Try again.": askingIn(nil, "PUT", "/cluster/mapping/pci/vdi-t4",
		"map", t4pve2b, "digest", strings.Repeat("0", 40)),
	// A shutdown to which no guest listens holds the lock.
	"can't lock file '/var/lock/qemu-server/lock-300.conf' - got timeout": {nil, func(_ *Sim, _, root *client) string {
		vmWith(root, "pve1", 300)
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		root.do("POST", qemu("pve1", 300, "/status/shutdown"), "timeout", "30").ok()
		pause(root.t, time.Second)
		return root.told(root.do("PUT", qemu("pve1", 300, "/config"), "name", "x"))
	}},
	"VM is locked (backup)": askingIn(withVM(100, option("lock", "backup")), "PUT", qemu("pve1", 100, "/config"), "name", "x"),
	"VM is locked (migrate)": {nil, func(_ *Sim, _, root *client) string {
		vmWith(root, "pve1", 300, "scsi0", "local-lvm:8")
		root.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2").ok()
		pause(root.t, time.Second)
		return root.told(root.do("PUT", qemu("pve1", 300, "/config"), "name", "x"))
	}},
	"can't remove VM 110 - protection mode enabled":                               asking("DELETE", qemu("pve3", 110)),
	"VM 100 is running - destroy failed":                                          asking("DELETE", qemu("pve1", 100)),
	"unable to remove VM 100 - used in HA resources and purge parameter not set.": askingIn(withVM(100, func(v *VM) { v.HA = true }), "DELETE", qemu("pve1", 100)),
	"can't remove drive 'ide2' - protection mode enabled": askingIn(withVM(9000, option("protection", 1)),
		"PUT", qemu("pve1", 9000, "/config"), "delete", "ide2"),
	"Permission check failed (/, Sys.Modify for modifying tag 'other')": {func(w *World) { w.Datacenter.UserTags = "none" },
		func(_ *Sim, engine, _ *client) string {
			return engine.told(engine.do("PUT", qemu("pve1", 9000, "/config"), "tags", "template;ubuntu-22-04;other"))
		}},
	"balloon value too large (must be smaller than assigned memory)": asking("PUT", qemu("pve1", 9000, "/config"), "balloon", "4096"),
}

var taskTexts = map[string]provocation{
	"VM 100 already running":         asking("POST", qemu("pve1", 100, "/status/start")),
	":hastart:100:":                  askingIn(withVM(100, func(v *VM) { v.HA = true }), "POST", qemu("pve1", 100, "/status/start")),
	"Requesting HA start for VM 100": askingIn(withVM(100, func(v *VM) { v.HA = true }), "POST", qemu("pve1", 100, "/status/start")),
	"cannot suspend VM to disk due to passed-through PCI device(s), which lack the possibility to save/restore their internal state": askingIn(nil,
		"POST", qemu("pve2", 204, "/status/suspend"), "todisk", "1"),
	"VFIO migration is not supported in kernel": askingIn(nil, "POST", qemu("pve2", 204, "/snapshot"), "snapname", "s1", "vmstate", "1"),
	"WARN: no efidisk configured":               starting("", "bios", "ovmf"),
	"WARNINGS: 1":                               starting("", "bios", "ovmf"),
	"unexpected status": {nil, func(sim *Sim, engine, _ *client) string {
		clone := cloning120("full", "1")(engine)
		pause(engine.t, time.Second)
		if err := sim.RebootHost("pve1"); err != nil {
			engine.t.Fatal(err)
		}
		pause(engine.t, 5*time.Minute)
		return engine.told(clone)
	}},
	"no such task":                asking("GET", "/nodes/pve1/tasks/UPID:pve1:00000001:00000001:00000001:qmstart:100:root@pam:/status"),
	"unable to parse worker upid": asking("GET", "/nodes/pve1/tasks/UPID:pve1/status"),
	"got timeout": {nil, func(_ *Sim, _, root *client) string {
		vmWith(root, "pve1", 300, "memory", "65536", "hostpci0", "0000:03:00.0", "name", "big")
		return root.told(root.do("POST", qemu("pve1", 300, "/status/start"), "timeout", "3"))
	}},
	"VM quit/powerdown failed - got timeout": {nil, func(_ *Sim, _, root *client) string {
		vmWith(root, "pve1", 300)
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		return root.told(root.do("POST", qemu("pve1", 300, "/status/shutdown"), "timeout", "3"))
	}},
	// A token sees its own tasks only.
	"Permission check failed (/nodes/pve1, Sys.Audit)": {func(w *World) {
		w.ACL = slices.DeleteFunc(w.ACL, func(a ACL) bool { return strings.HasSuffix(a.Subject, "!weak") })
	}, func(sim *Sim, engine, root *client) string {
		clone := cloning120()(root)
		weak := sim.as(root.t, weakToken)
		return weak.told(weak.do("GET", "/nodes/pve1/tasks/"+clone.data.(string)+"/status"))
	}},
}

// withSnippets is a world with files for cicustom, one of them too long, and a template
// that uses some.
func withSnippets(cicustom string) func(*World) {
	return func(w *World) {
		w.Storages[0].Volumes = append(w.Storages[0].Volumes, Volume{Name: "snippets/user.yaml", Size: 1 << 20},
			Volume{Name: "snippets/long.yaml", Size: 1<<20 + 1}, Volume{Name: "iso/debian-13.iso", Size: 1 << 20})
		withVM(100, func(v *VM) {
			v.Running = false
			v.Config["ide2"] = "local-lvm:vm-100-cloudinit,media=cdrom"
			v.Config["cicustom"] = cicustom
		})(w)
	}
}

var seedTexts = map[string]provocation{
	"value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'": {nil, func(_ *Sim, _, root *client) string {
		return root.told(uploadTo(root, "/nodes/pve1/storage/local/upload", "user.yaml", "#cloud-config\n", "content", "snippets"))
	}},
	"volume 'local:snippets/gone.yaml' does not exist":         askingIn(withSnippets("user=local:snippets/gone.yaml"), "POST", qemu("pve1", 100, "/status/start")),
	"local:iso/debian-13.iso is not in the snippets directory": askingIn(withSnippets("user=local:iso/debian-13.iso"), "POST", qemu("pve1", 100, "/status/start")),
	"file '/var/lib/vz/snippets/long.yaml' too long - aborting": askingIn(withSnippets("user=local:snippets/long.yaml"),
		"POST", qemu("pve1", 100, "/status/start")),
	"Cloud-Init sum of snippets too big (> 3 MiB)": askingIn(
		withSnippets("user=local:snippets/user.yaml,network=local:snippets/user.yaml,vendor=local:snippets/user.yaml,meta=local:snippets/user.yaml"),
		"POST", qemu("pve1", 100, "/status/start")),
	"invalid urlencoded string": asking("PUT", qemu("pve1", 9000, "/config"), "sshkeys", "ssh-ed25519 AAAA"),
	"scp: stat local \"/var/tmp/pveupload-": {func(w *World) { w.Faults = []Fault{{Path: "/upload$", Effect: UploadLost}} },
		func(_ *Sim, _, root *client) string {
			return root.told(uploadTo(root, "/nodes/pve2/storage/local/upload", "seed.iso", "x", "content", "iso"))
		}},
	"wrong file extension": {nil, func(_ *Sim, _, root *client) string {
		return root.told(uploadTo(root, "/nodes/pve1/storage/local/upload", "seed.txt", "x", "content", "iso"))
	}},
}

// withAgent calls the agent of VM 300, which has this configuration and is running or
// stopped.
func withAgent(agent string, run bool, method, call string, fields ...string) provocation {
	return provocation{nil, func(_ *Sim, _, root *client) string {
		options := []string{}
		if agent != "" {
			options = append(options, "agent", agent)
		}
		vmWith(root, "pve1", 300, options...)
		if run {
			root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		}
		return root.told(root.do(method, qemu("pve1", 300, "/agent/", call), fields...))
	}}
}

var agentTexts = map[string]provocation{
	"No QEMU guest agent configured":              withAgent("", true, "POST", "ping"),
	"VM 300 is not running":                       withAgent("1", false, "POST", "ping"),
	"QEMU guest agent is not running":             withAgent("1", true, "POST", "ping"),
	"value may only be 61440 characters long":     withAgent("1", true, "POST", "file-write", "file", "/x", "content", strings.Repeat("x", 61441)),
	"value must have a maximum value of 16777216": withAgent("1", true, "GET", "file-read", "file", "/x", "count", "16777217"),
	"failed to open file '/nope' (mode: 'r'): No such file or directory": {nil, func(_ *Sim, _, root *client) string {
		return root.told(root.do("GET", qemu("pve1", 100, "/agent/file-read"), "file", "/nope"))
	}},
}

var httpTexts = map[string]provocation{
	"501 chunked transfer encoding not supported":                      raw("PUT", qemu("pve1", 100, "/config"), "name=x", "X-Length", "chunked"),
	"501 Unexpected content for method 'DELETE'":                       raw("DELETE", qemu("pve1", 100), "purge=1"),
	"501 for data too large":                                           raw("PUT", qemu("pve1", 100, "/config"), "description="+strings.Repeat("x", 512<<10)),
	"400 Parameter verification failed.":                               asking("GET", "/version", "bogus", "1"),
	"403 Permission check failed (/storage/local, Datastore.Allocate)": asking("DELETE", "/nodes/pve1/storage/local/content/local:iso/x.iso"),
	"401 No ticket":              raw("GET", "/version", "", "Authorization", ""),
	"401 Authentication failed!": raw("GET", "/version", "", "Authorization", "PVEAPIToken=gpuworker@pve!engine=wrong"),
	"401 Permission denied - invalid csrf token": {nil, func(_ *Sim, _, root *client) string {
		root.header.Del("CSRFPreventionToken")
		return root.told(root.do("PUT", qemu("pve1", 100, "/config"), "name", "x"))
	}},
	"401 authentication failure":             asking("POST", "/access/ticket", "username", "root@pam", "password", "wrong"),
	"501 Method 'GET /nope' not implemented": asking("GET", "/nope"),
	"595 No route to host":                   askingIn(func(w *World) { w.Hosts[2].Offline = true }, "GET", "/nodes/pve3/status"),
	// All workers of the host wait for agents that hang.
	"596 Connection timed out": {func(w *World) {
		w.Workers = 1
		withVM(100, func(v *VM) { v.Guest.Slow = Duration(time.Hour) })(w)
	}, func(_ *Sim, _, root *client) string {
		for range 12 {
			root.behind("POST", qemu("pve1", 100, "/agent/ping"))
		}
		pause(root.t, time.Second)
		return root.told(root.do("GET", qemu("pve1", 100, "/status/current")))
	}},
	// A defect of the proxy before libpve-http-server-perl 5.1.2.
	"599 Too many redirections": failing(Fault{Path: "^/nodes/pve2/", Effect: Status, Code: 599, Text: "Too many redirections"}, "GET", "/nodes/pve2/status"),
}

var migrationTexts = map[string]provocation{
	"can't migrate VM which uses local devices: hostpci0": {nil, func(_ *Sim, _, root *client) string {
		vmWith(root, "pve1", 300, "hostpci0", "0000:03:00.0")
		return root.told(root.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2"))
	}},
	"can't migrate to 'pve2': missing mapped devices hostpci0": {nil, func(_ *Sim, _, root *client) string {
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1).ok()
		vmWith(root, "pve1", 300, "hostpci0", "mapping=m1")
		return root.told(root.do("POST", qemu("pve1", 300, "/migrate"), "target", "pve2"))
	}},
	"can't migrate running VM without --online": askingIn(nil, "POST", qemu("pve1", 100, "/migrate"), "target", "pve2"),
}
