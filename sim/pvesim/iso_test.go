package pvesim

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seedWorld is a client of a world whose stopped VM 120 is a clone with the cloud-init
// drive of its template, and the ISO image seed.iso.
func seedWorld(t *testing.T) (*Sim, *client) {
	t.Helper()
	sim := newSim(t, homelab(t))
	root := sim.asRoot(t, rootPass)
	root.done(root.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
	root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "seed.iso", "a seed", "content", "iso"), "OK")
	return sim, root
}

func (c *client) conf(vmid int) map[string]any {
	c.t.Helper()
	return c.do("GET", qemu("pve1", vmid, "/config"), "current", "1").object()
}

func volumesOf(sim *Sim, part string) string {
	var out []string
	for id := range sim.State().Volumes {
		if strings.Contains(id, part) {
			out = append(out, id)
		}
	}
	return strings.Join(out, " ")
}

func TestASeedTakesThePlaceOfTheTemplatesCloudInitDrive(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := seedWorld(t)
		if got := root.conf(120)["ide2"]; got != "local-lvm:vm-120-cloudinit,media=cdrom,size=4M" {
			t.Fatalf("the clone's own drive is %v", got)
		}
		root.do("PUT", qemu("pve1", 120, "/config"), "protection", "1").ok()
		// Protection forbids the deletion of a drive, not the exchange of its medium.
		root.do("PUT", qemu("pve1", 120, "/config"), "delete", "ide2").refused(500, "can't remove drive 'ide2' - protection mode enabled")
		root.do("PUT", qemu("pve1", 120, "/config"), "ide2", "local:iso/seed.iso,media=cdrom").ok()
		if got := root.conf(120)["ide2"]; got != "local:iso/seed.iso,media=cdrom,size=6" {
			t.Errorf("ide2 is %v", got)
		}
		if left := volumesOf(sim, "vm-120-cloudinit"); left != "" {
			t.Errorf("the volume of the cloud-init drive is still there: %s", left)
		}
		root.do("PUT", qemu("pve1", 120, "/config"), "protection", "0").ok()
		root.done(root.do("DELETE", qemu("pve1", 120)), "OK")
		if left := volumesOf(sim, "iso/seed.iso"); left == "" {
			t.Error("the destruction of the VM took the ISO image along")
		}
	})
}

func TestAMediumIsExchangedWhileTheVMRuns(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := seedWorld(t)
		set := func(value string) *reply { return root.do("PUT", qemu("pve1", 120, "/config"), "ide2", value) }
		root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "clean.iso", "no secret", "content", "iso"), "OK")
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		pending := func() string {
			var out []string
			for _, entry := range root.do("GET", qemu("pve1", 120, "/pending")).list() {
				e := entry.(map[string]any)
				if e["pending"] != nil || e["delete"] != nil {
					out = append(out, fmt.Sprint(e["key"], "=", e["pending"], e["delete"]))
				}
			}
			return strings.Join(out, " ")
		}
		set("local:iso/seed.iso,media=cdrom").ok()
		// A CD drive is appended to the boot order, which waits for a restart.
		const boot = "boot=order=scsi0;ide2<nil>"
		if got, left := root.conf(120)["ide2"], volumesOf(sim, "vm-120-cloudinit"); got != "local:iso/seed.iso,media=cdrom,size=6" || pending() != boot || left == "" {
			t.Errorf("applied at once: ide2 is %v, pending %s; the cloud-init volume is left behind: %q", got, pending(), left)
		}
		set("local:iso/clean.iso,media=cdrom").ok()
		set("none,media=cdrom").ok()
		if got := root.conf(120)["ide2"]; got != "none,media=cdrom" || pending() != boot {
			t.Errorf("ide2 is %v, pending %s", got, pending())
		}
		// What is not a change of the medium waits for a restart, on IDE and SATA.
		root.do("PUT", qemu("pve1", 120, "/config"), "delete", "ide2").ok()
		root.do("PUT", qemu("pve1", 120, "/config"), "sata3", "local:iso/seed.iso,media=cdrom").ok()
		if got := pending(); !strings.Contains(got, "ide2=<nil> 1") || !strings.Contains(got, "sata3=local:iso/seed.iso,media=cdrom,size=6") {
			t.Errorf("pending: %s", got)
		}
	})
}

func TestACloudInitDriveOfARunningVMIsRemovedByNone(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := seedWorld(t)
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		root.do("PUT", qemu("pve1", 120, "/config"), "ide2", "none,media=cdrom").ok()
		if left := volumesOf(sim, "vm-120-cloudinit"); left != "" {
			t.Errorf("it is still there: %s", left)
		}
	})
}

func TestAnISOThatIsMissing(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := seedWorld(t)
		set := func(value string) *reply { return root.do("PUT", qemu("pve1", 120, "/config"), "ide2", value) }
		set("local:iso/nope.iso,media=cdrom").refused(500, "volume 'local:iso/nope.iso' does not exist")
		set("nope:iso/seed.iso,media=cdrom").refused(500, "storage 'nope' does not exist")
		if got := set("local:iso/seed.iso"); got.errors["ide2"] != "explicit 'media=cdrom' is required for iso images" {
			t.Errorf("without media=cdrom: %v", got.errors)
		}
		root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "empty.iso", "", "content", "iso"), "OK")
		set("local:iso/empty.iso,media=cdrom").refused(500, "volume local:iso/empty.iso does not exist")
		// A deletion does not ask who uses the image; the next start fails.
		set("local:iso/seed.iso,media=cdrom").ok()
		root.done(root.do("DELETE", "/nodes/pve1/storage/local/content/local:iso/seed.iso"), "OK")
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "volume 'local:iso/seed.iso' does not exist")
		set("none,media=cdrom").ok()
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
	})
}

func TestTheRightsForASeed(t *testing.T) {
	for name, tc := range map[string]struct{ privs, refusal string }{
		"all":                              {"VM.Config.CDROM VM.Config.Cloudinit Datastore.Audit", ""},
		"not the one for cloud-init":       {"VM.Config.CDROM Datastore.Audit", "Permission check failed (/vms/120, VM.Config.Cloudinit)"},
		"not the one for CD drives":        {"VM.Config.Cloudinit Datastore.Audit", "Permission check failed (/vms/120, VM.Config.CDROM)"},
		"none for the image's storage":     {"VM.Config.CDROM VM.Config.Cloudinit", "Permission check failed (/storage/local, Datastore.AllocateSpace|Datastore.Audit)"},
		"only the one for uploading there": {"VM.Config.CDROM VM.Config.Cloudinit Datastore.AllocateTemplate", "Permission check failed (/storage/local, Datastore.AllocateSpace|Datastore.Audit)"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim, root := seedWorld(t)
				root.do("POST", "/access/roles", "roleid", "Seeder", "privs", strings.ReplaceAll(tc.privs, " ", ",")).ok()
				root.do("POST", "/access/users", "userid", "seeder@pve").ok()
				secret := root.do("POST", "/access/users/seeder@pve/token/seed", "privsep", "0").object()["value"].(string)
				root.do("PUT", "/access/acl", "path", "/", "roles", "Seeder", "users", "seeder@pve").ok()
				got := sim.as(t, "seeder@pve!seed="+secret).do("PUT", qemu("pve1", 120, "/config"), "ide2", "local:iso/seed.iso,media=cdrom")
				if tc.refusal == "" {
					got.ok()
				} else if got.code != 403 || got.reason != tc.refusal {
					t.Errorf("got %d %s", got.code, got.reason)
				}
			})
		})
	}
}

func TestAnUploadOverwritesAndIsKept(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := seedWorld(t)
		root.do("PUT", qemu("pve1", 120, "/config"), "ide2", "local:iso/seed.iso,media=cdrom").ok()
		sum := strings.ToUpper(sha256Hex("without secrets"))
		root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", `C:\seeds/seed.iso`, "without secrets", "content", "iso",
			"checksum", sum, "checksum-algorithm", "sha256"), "OK")
		data, ok := sim.Upload("pve1", "local:iso/seed.iso")
		if string(data) != "without secrets" || !ok {
			t.Errorf("the content is %q", data)
		}
		if _, ok := sim.Upload("pve2", "local:iso/seed.iso"); ok {
			t.Error("another host has it too")
		}
		if got := root.do("GET", "/nodes/pve1/storage/local/content/local:iso/seed.iso").object()["size"]; got != 15.0 {
			t.Errorf("size %v", got)
		}
	})
}

func TestNamesOfUploads(t *testing.T) {
	for given, want := range map[string]string{"a.iso": "a.iso", "../etc/a.iso": "a.iso", `C:\x\a b.iso`: "a_b.iso", "gpu:1.iso": "gpu_1.iso", " a.iso ": "a.iso"} {
		if got := uploadName(given); got != want {
			t.Errorf("%q is stored as %q, want %q", given, got, want)
		}
	}
	play(t, func(t *testing.T) {
		root := newSim(t, homelab(t)).asRoot(t, rootPass)
		for name, tc := range map[string]struct{ file, content, want string }{
			"only an extension":         {".iso", "iso", "wrong file extension"},
			"an archive":                {"a.tar.gz", "iso", "wrong file extension"},
			"an image of no known kind": {"a.ovf", "import", "invalid filename or wrong extension"},
		} {
			if got := uploadTo(root, "/nodes/pve1/storage/local/upload", tc.file, "x", "content", tc.content); got.errors["filename"] != tc.want {
				t.Errorf("%s: %d %v", name, got.code, got.errors)
			}
		}
	})
}

// A copy that fails takes the file of the same name along.
func TestAFullStorage(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		for i := range world.Storages {
			if world.Storages[i].Name == "local" {
				world.Storages[i].Volumes, world.Storages[i].CapacityGiB = nil, 10.0/(1<<30)
			}
		}
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		upload := func(content string) *reply {
			return uploadTo(root, "/nodes/pve1/storage/local/upload", "seed.iso", content, "content", "iso")
		}
		root.done(upload("12345678"), "OK")
		root.done(upload("87654321"), "OK") // it needs no space beside the old one
		root.done(upload("12345678901"), "import failed: cp: error writing '/var/lib/vz/template/iso/seed.iso': No space left on device")
		if left := volumesOf(sim, "seed.iso"); left != "" {
			t.Errorf("there is %s", left)
		}
	})
}

func TestAStorageThatCannotBeReached(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := seedWorld(t)
		root.do("PUT", qemu("pve1", 120, "/config"), "ide2", "local:iso/seed.iso,media=cdrom").ok()
		if err := sim.SetStorageOnline("local", "pve1", false); err != nil {
			t.Fatal(err)
		}
		const refusal = "unable to activate storage 'local' - directory '/var/lib/vz' does not exist or is unreachable"
		uploadTo(root, "/nodes/pve1/storage/local/upload", "x.iso", "x", "content", "iso").refused(500, refusal)
		root.do("GET", "/nodes/pve1/storage/local/content").refused(500, refusal)
		root.do("PUT", qemu("pve1", 120, "/config"), "sata1", "local:iso/seed.iso,media=cdrom").refused(500, refusal)
		root.done(root.do("DELETE", "/nodes/pve1/storage/local/content/local:iso/seed.iso"), refusal)
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), refusal)
		if got := root.do("GET", "/nodes/pve1/storage/local/status").object(); got["active"] != 0.0 || got["enabled"] != 1.0 {
			t.Errorf("status %v", got)
		}
		if err := sim.SetStorageOnline("local", "pve1", true); err != nil {
			t.Fatal(err)
		}
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
	})
}

// An upload that is cut off leaves neither a file nor a task.
func TestAnUploadThatIsCutOff(t *testing.T) {
	sim := newSim(t, homelab(t))
	server := httptest.NewServer(sim)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = "--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--b\r\n" +
		"Content-Disposition: form-data; name=\"filename\"; filename=\"half.iso\"\r\n\r\nhalf of it"
	fmt.Fprintf(conn, "POST /api2/json/nodes/pve1/storage/local/upload HTTP/1.1\r\nHost: x\r\nAuthorization: PVEAPIToken=%s\r\n"+
		"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", engineToken, len(body)+100, body)
	_ = conn.(*net.TCPConn).CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if answer, _ := io.ReadAll(conn); strings.Contains(string(answer), "UPID") {
		t.Errorf("the server said %s", answer)
	}
	state := sim.State()
	if left := volumesOf(sim, "half.iso"); left != "" || len(state.Tasks) != 0 {
		t.Errorf("there is %q, and tasks %v", left, state.Tasks)
	}
}

// The real server would make the field a part of the file.
func TestAFieldAfterTheFile(t *testing.T) {
	root := newSim(t, homelab(t)).asRoot(t, rootPass)
	const body = "--b\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"a.iso\"\r\n\r\nx\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--b--\r\n"
	got := root.told(sendRaw(root, "/nodes/pve1/storage/local/upload", body, "multipart/form-data; boundary=b"))
	if diff := cmp.Diff(true, strings.Contains(got, "a field after the file of an upload is not simulated")); diff != "" {
		t.Errorf("told: %s", got)
	}
}
