package pvesim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// textsOfTheRealServer are the texts of Proxmox VE that operators see and programs must
// distinguish, by the part of the server that they come from. Each needs a provocation
// below, otherwise the test fails.
var textsOfTheRealServer = map[string][]string{
	"starts with passthrough": {
		"q35 machine model is not enabled",
		"no PCI device found for '0000:99:00.0'",
		"PCI device mapping not found for 'nope'",
		"PCI device mapping not found for 'm1'",
		"PCI device mapping invalid (hardware probably changed): 'id' does not match for 'm1' (10de:1eb8 != 10de:1eb9)",
		"PCI device mapping invalid (hardware probably changed): 'iommugroup' does not match for 'm1' (14 != 15)",
		"PCI device mapping invalid (hardware probably changed): pci device '0000:03:00.0' not found",
		"device '0000:03:00.0' assigned more than once",
		"could not find a free device for 'hostpci0'",
		"PCI device '0000:03:00.0' is currently reserved for use by VMID '301'",
		"PCI device '0000:81:00.0' already in use by VMID '204'",
		"cannot prepare PCI pass-through, IOMMU not present",
		"no pci device info for device '0000:03:00.0'",
		"Cannot open iommu_group: No such file or directory",
		"can't unbind/bind PCI group to VFIO '0000:03:00.0'",
		"Cannot bind 0000:42:00.0 to vfio",
		"Cannot find vfio-pci module!",
		"failed to reset PCI device '0000:03:00.0', but trying to continue",
		"start failed: QEMU exited with code 1",
		"group 14 is not viable",
		"Cannot allocate memory",
		"Cannot set both 'host' and 'mapping'.",
		"Either 'host' or 'mapping' must be set.",
		"only root can set 'hostpci0' config for non-mapped devices",
		"only root@pam can set 'romfile' option",
	},
	"clones": {
		"parameter 'storage' not allowed for linked clones",
		"can't clone VM to node 'pve2' (VM uses local storage)",
		"can't clone to non-shared storage 'local-lvm'",
		"Copy-of-VM-ubuntu-22.04",
		"qmclone temporary file",
		"unable to create VM 100: config file already exists",
		"close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/204.conf' failed: File exists",
		"can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout",
		"VM is locked (clone)",
		"clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout",
		"clone failed: cfs-lock 'storage-nas' error: got lock request timeout",
		"clone failed: interrupted by signal",
		"Cannot create new thin volume, free space in thin pool pve/data reached threshold.",
		"No space left on device",
	},
	"configurations, protection and destruction": {
		"VM 100 already exists",
		"unable to create VM 204 - VM 204 already exists on node 'pve2'",
		"checksum mismatch (file change by other user?)",
		"detected modified configuration - file changed by other user? Try again.",
		"can't lock file '/var/lock/qemu-server/lock-300.conf' - got timeout",
		"VM is locked (backup)",
		"VM is locked (migrate)",
		"can't remove VM 110 - protection mode enabled",
		"VM 100 is running - destroy failed",
		"unable to remove VM 100 - used in HA resources and purge parameter not set.",
		"can't remove drive 'ide2' - protection mode enabled",
		"Permission check failed (/, Sys.Modify for modifying tag 'other')",
		"balloon value too large (must be smaller than assigned memory)",
	},
	"starts and tasks": {
		"VM 100 already running",
		":hastart:100:",
		"Requesting HA start for VM 100",
		"cannot suspend VM to disk due to passed-through PCI device(s), which lack the possibility to save/restore their internal state",
		"VFIO migration is not supported in kernel",
		"WARN: no efidisk configured",
		"WARNINGS: 1",
		"unexpected status",
		"no such task",
		"unable to parse worker upid",
		"got timeout",
		"VM quit/powerdown failed - got timeout",
		"Permission check failed (/nodes/pve1, Sys.Audit)",
	},
	"cloud-init": {
		"value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'",
		"volume 'local:snippets/gone.yaml' does not exist",
		"local:iso/debian-13.iso is not in the snippets directory",
		"file '/var/lib/vz/snippets/long.yaml' too long - aborting",
		"Cloud-Init sum of snippets too big (> 3 MiB)",
		"invalid urlencoded string",
		"scp: stat local \"/var/tmp/pveupload-",
		"wrong file extension",
	},
	"the guest's agent": {
		"No QEMU guest agent configured",
		"VM 300 is not running",
		"QEMU guest agent is not running",
		"value may only be 61440 characters long",
		"value must have a maximum value of 16777216",
		"failed to open file '/nope' (mode: 'r'): No such file or directory",
	},
	"HTTP and credentials": {
		"501 chunked transfer encoding not supported",
		"501 Unexpected content for method 'DELETE'",
		"501 for data too large",
		"400 Parameter verification failed.",
		"403 Permission check failed (/storage/local, Datastore.Allocate)",
		"401 No ticket",
		"401 Authentication failed!",
		"401 Permission denied - invalid csrf token",
		"401 authentication failure",
		"501 Method 'GET /nope' not implemented",
		"595 No route to host",
		"596 Connection timed out",
		"599 Too many redirections",
	},
	"migration": {
		"can't migrate VM which uses local devices: hostpci0",
		"can't migrate to 'pve2': missing mapped devices hostpci0",
		"can't migrate running VM without --online",
	},
}

// told is everything that a client receives for a call: status line, errors of parameters
// and, if there is a task, its exit status and log.
func (c *client) told(r *reply) string {
	c.t.Helper()
	text := fmt.Sprintf("%d %s\n%v\n%s\n", r.code, r.reason, r.err, r.body)
	for name, complaint := range r.errors {
		text += fmt.Sprintf("%s: %v\n", name, complaint)
	}
	if upid, ok := r.data.(string); ok && strings.HasPrefix(upid, "UPID:") {
		exit, log := c.task(r)
		text += exit + "\n" + strings.Join(log, "\n")
	}
	return text
}

// provocation causes a text of the server and returns it. world is the homelab, which may
// be changed before the server starts.
type provocation struct {
	world func(*World)
	act   func(sim *Sim, engine, root *client) string
}

// starting starts a VM with these options on pve1; the mapping m1 has the given entries.
func starting(mapping string, options ...string) provocation {
	return startingOn("pve1", mapping, nil, options...)
}

func startingOn(host, mapping string, world func(*World), options ...string) provocation {
	return provocation{world, func(_ *Sim, _, root *client) string {
		if mapping != "" {
			root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", mapping).ok()
		}
		vmWith(root, host, 300, options...)
		return root.told(root.do("POST", qemu(host, 300, "/status/start")))
	}}
}

// withFunction changes a PCI function of pve1.
func withFunction(address string, change func(*PCIFunction)) func(*World) {
	return func(w *World) {
		for i := range w.Hosts[0].PCI {
			if w.Hosts[0].PCI[i].Address == address {
				change(&w.Hosts[0].PCI[i])
			}
		}
	}
}

func broken(how string) func(*PCIFunction) { return func(f *PCIFunction) { f.Broken = how } }

// withVM changes a VM of the world.
func withVM(id int, change func(*VM)) func(*World) {
	return func(w *World) {
		for i := range w.VMs {
			if w.VMs[i].ID == id {
				change(&w.VMs[i])
			}
		}
	}
}

func option(key string, value any) func(*VM) { return func(v *VM) { v.Config[key] = value } }

// asking makes one call with the engine's token.
func asking(method, path string, fields ...string) provocation {
	return provocation{nil, func(_ *Sim, engine, _ *client) string { return engine.told(engine.do(method, path, fields...)) }}
}

// askingIn makes one call in a changed world, as root.
func askingIn(world func(*World), method, path string, fields ...string) provocation {
	return provocation{world, func(_ *Sim, _, root *client) string { return root.told(root.do(method, path, fields...)) }}
}

// during makes the calls concurrently and returns all texts.
func during(world func(*World), calls ...func(engine *client) *reply) provocation {
	return provocation{world, func(sim *Sim, engine, _ *client) string {
		told := make(chan string, len(calls))
		for _, call := range calls {
			go func() { told <- engine.told(call(engine)) }()
		}
		all := ""
		for range calls {
			all += <-told
		}
		return all
	}}
}

func cloning120(fields ...string) func(*client) *reply {
	return cloningTo(120, fields...)
}

func cloningTo(id int, fields ...string) func(*client) *reply {
	return func(c *client) *reply {
		return c.do("POST", qemu("pve1", 9000, "/clone"), append(fields, "newid", fmt.Sprint(id))...)
	}
}

// slowStorage is a world in which creating a disk takes some seconds.
func slowStorage(w *World) {
	for i := range w.Storages {
		w.Storages[i].Allocate = Duration(6 * time.Second)
	}
	w.Storages = append(w.Storages, Storage{Name: "nas", Type: "nfs", Content: []string{"images"}, Allocate: Duration(6 * time.Second)})
}

// raw makes a request with a custom header or body.
func raw(method, path, body string, header ...string) provocation {
	return provocation{nil, func(_ *Sim, engine, _ *client) string {
		req, err := http.NewRequest(method, engine.base+"/api2/json"+path, strings.NewReader(body))
		if err != nil {
			engine.t.Fatal(err)
		}
		req.Header = engine.header.Clone()
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			req.Header.Del(header[i])
			if header[i+1] != "" {
				req.Header.Set(header[i], header[i+1])
			}
		}
		if slices.Contains(header, "chunked") {
			req.Header.Del("Transfer-Encoding")
			req.ContentLength = -1
		}
		return engine.told(engine.send(req))
	}}
}

// failing makes a call that is affected by a fault.
func failing(f Fault, method, path string, fields ...string) provocation {
	return provocation{func(w *World) { w.Faults = append(w.Faults, f) }, func(_ *Sim, engine, _ *client) string {
		return engine.told(engine.do(method, path, fields...))
	}}
}

func TestEachTextOfTheRealServerCanBeProvoked(t *testing.T) {
	known := map[string]bool{}
	for part, texts := range textsOfTheRealServer {
		for _, text := range texts {
			p, ok := provocations[text]
			if !ok {
				t.Errorf("%s: nothing provokes %q", part, text)
				continue
			}
			known[text] = true
			t.Run(part+": "+text, func(t *testing.T) {
				play(t, func(t *testing.T) {
					world := homelab(t)
					if p.world != nil {
						p.world(&world)
					}
					sim := newSim(t, world)
					engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
					sim.overHTTP(t, engine, root)
					got := p.act(sim, engine, root)
					if !strings.Contains(got, text) {
						t.Errorf("the client was told:\n%s", got)
					}
				})
			})
		}
	}
	for text := range provocations {
		if !known[text] {
			t.Errorf("%q is provoked and not in the list", text)
		}
	}
}
