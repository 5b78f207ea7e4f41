package pvesim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// makeISO writes an image with Rock Ridge names in the root directory.
func makeISO(label string, files map[string]string) []byte {
	record := func(name string, sector, size int, flags byte, area string) []byte {
		name += strings.Repeat("\x00", 1-len(name)%2)
		r := append(make([]byte, 33), name+area...)
		r = append(r, make([]byte, len(r)%2)...)
		r[0], r[25], r[32] = byte(len(r)), flags, byte(len(strings.TrimRight(name, "\x00")))
		binary.LittleEndian.PutUint32(r[2:], uint32(sector))
		binary.LittleEndian.PutUint32(r[10:], uint32(size))
		return r
	}
	const rootSector = 18
	var root, content []byte
	next := rootSector + 1
	for i, name := range []string{"\x00", "\x01"} {
		r := record(name, rootSector, isoSector, 2, "")
		r[32] = 1
		_ = i
		root = append(root, r...)
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		data := files[name]
		area := fmt.Sprintf("RR\x05\x01\x81NM%c\x01\x00%s", 5+len(name), name)
		root = append(root, record(fmt.Sprintf("F%d.;1", i), next, len(data), 0, area)...)
		padded := append([]byte(data), make([]byte, (isoSector-len(data)%isoSector)%isoSector)...)
		content = append(content, padded...)
		next += len(padded) / isoSector
	}
	image := make([]byte, (rootSector+1)*isoSector)
	volume := image[16*isoSector:]
	copy(volume, "\x01CD001\x01")
	copy(volume[40:], label+strings.Repeat(" ", 32-len(label)))
	copy(volume[156:], record("\x00", rootSector, isoSector, 2, ""))
	copy(image[17*isoSector:], "\xffCD001\x01")
	copy(image[rootSector*isoSector:], root)
	return append(image, content...)
}

func TestAnImageIsRead(t *testing.T) {
	want := map[string]string{"user-data": "#cloud-config\n", "meta-data": "instance-id: x\n", "network-config": "",
		"gpuworker-guest-linux-amd64": strings.Repeat("program", 1000)}
	t.Run("that of this test", func(t *testing.T) {
		got, err := parseISO(makeISO("cidata", want))
		if diff := cmp.Diff(want, got.files); err != nil || diff != "" || got.label != "cidata" {
			t.Errorf("%v, label %q (-want +got):\n%s", err, got.label, diff)
		}
	})
	t.Run("that of genisoimage", func(t *testing.T) {
		if _, err := exec.LookPath("genisoimage"); err != nil {
			t.Skip("SKIPPED: genisoimage is not installed: apt-get install genisoimage")
		}
		dir, image := t.TempDir(), filepath.Join(t.TempDir(), "seed.iso")
		for name, content := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if said, err := exec.Command("genisoimage", "-quiet", "-R", "-V", "cidata", "-o", image, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseISO(data)
		if diff := cmp.Diff(want, got.files); err != nil || diff != "" || got.label != "cidata" {
			t.Errorf("%v, label %q (-want +got):\n%s", err, got.label, diff)
		}
	})
}

func FuzzParseISO(f *testing.F) {
	f.Add(makeISO("cidata", map[string]string{"user-data": "x", "meta-data": ""}))
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := parseISO(data)
		if err != nil {
			return
		}
		for name, content := range image.files {
			if len(content) > len(data) {
				t.Errorf("%q has %d bytes of an image of %d", name, len(content), len(data))
			}
		}
	})
}

func FuzzParseShell(f *testing.F) {
	f.Add(`cat "$@" > "$0" && chmod 0755 "$0"; echo 'x'`)
	f.Fuzz(func(t *testing.T, script string) {
		commands, err := parseShell(script, []string{"a", "b"})
		for _, c := range commands {
			if err != nil || len(c.words) == 0 || c.words[0] == "" {
				t.Errorf("%q: %v, %v", script, commands, err)
			}
		}
	})
}

// t4OfPVE1 is the UUID of the T4 of pve1.
var t4OfPVE1 = GPUUUID("pve1", PCIFunction{Address: "0000:03:00.0", ID: "10de:1eb8"})

// guestSeed is what the engine gives to a guest, in short.
func guestSeed(uuid, instance, gpuUUID string, program bool) map[string]string {
	orders, _ := json.Marshal(map[string]any{"version": 1, "worker": "gpu-1", "uuid": uuid,
		"driver": map[string]any{"strategy": "Packages", "branch": "580"}, "gpu": map[string]any{"id": "10de:1eb8", "uuid": gpuUUID}})
	user := "#cloud-config\nhostname: gpu-1\nwrite_files:\n  - path: /etc/gpuworker/orders.json\n    content: '" + string(orders) + "'\n" +
		"runcmd:\n  - cp /run/seed/gpuworker-guest-linux-amd64 /usr/local/sbin/gpuworker-guest\n"
	files := map[string]string{"user-data": user, "meta-data": "instance-id: " + instance + "\n"}
	if program {
		files["gpuworker-guest-linux-amd64"] = "ELF"
	}
	return files
}

// guestWorker is a VM with a T4 and a seed, whose guest has these faults. It is started.
func guestWorker(t *testing.T, gpuUUID string, faults ...GuestFault) (*Sim, *client) {
	t.Helper()
	sim := newSim(t, homelab(t))
	root := sim.asRoot(t, rootPass)
	root.done(root.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "name", "gpu-1"), "OK")
	root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1).ok()
	root.do("PUT", qemu("pve1", 120, "/config"), "hostpci0", "mapping=m1").ok()
	smbios := root.conf(120)["smbios1"].(string)
	attach(t, root, guestSeed(strings.TrimPrefix(smbios, "uuid="), "i-1", gpuUUID, true))
	guest := Guest{OS: "ubuntu 24.04", Agent: true, Faults: faults}
	if err := sim.SetGuest(120, guest); err != nil {
		t.Fatal(err)
	}
	root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
	return sim, root
}

// attach uploads a seed and puts it into the CD drive.
func attach(t *testing.T, root *client, seed map[string]string) {
	t.Helper()
	root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "seed.iso", string(makeISO("cidata", seed)), "content", "iso"), "OK")
	root.do("PUT", qemu("pve1", 120, "/config"), "ide2", "local:iso/seed.iso,media=cdrom").ok()
}

// runs runs a program in the guest of VM 120 to its end.
func (c *client) runs(command ...string) (map[string]any, *reply) {
	c.t.Helper()
	var fields []string
	for _, word := range command {
		fields = append(fields, "command", word)
	}
	started := c.do("POST", qemu("pve1", 120, "/agent/exec"), fields...)
	if started.code != 200 {
		return nil, started
	}
	for range 1000 {
		got := c.do("GET", qemu("pve1", 120, "/agent/exec-status"), "pid", fmt.Sprint(started.object()["pid"])).object()
		if got["exited"] == 1.0 {
			return got, started
		}
		pause(c.t, time.Second)
	}
	c.t.Fatal("the program does not end")
	return nil, nil
}

// guestState is what the engine would read of the guest of VM 120.
func guestState(root *client) modelStatus {
	root.t.Helper()
	var status modelStatus
	got, refused := root.runs("gpuworker-guest", "status", "-o", "json")
	if got == nil {
		root.t.Fatalf("status: %d %s", refused.code, refused.reason)
	}
	text, _ := got["out-data"].(string)
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		root.t.Fatalf("status: %v: %.200s", err, text)
	}
	return status
}

func (m modelStatus) states() string {
	out := ""
	for _, step := range m.Steps {
		out += step.Name + " " + step.State + "\n"
	}
	for _, finding := range m.Findings {
		out += finding.ID + "\n"
	}
	return out
}

// steps are the states of the steps of a bootstrap with Packages.
func steps(states ...string) string {
	out, at := "", 0
	for _, step := range guestSteps {
		state := "Skipped"
		if step.name != "toolkit" {
			state = states[min(at, len(states)-1)]
			at++
		}
		out += step.name + " " + state + "\n"
	}
	return out
}

var allDone = steps("Done")

func TestASimulatedGuestBecomesAWorker(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := guestWorker(t, t4OfPVE1)
		pause(t, 26*time.Second)
		if got, _ := root.runs("cloud-init", "status", "--format", "json"); !strings.Contains(got["out-data"].(string), `"status": "running"`) {
			t.Errorf("cloud-init at first: %v", got)
		}
		if got, refused := root.runs("gpuworker-guest", "status"); got != nil || !strings.Contains(refused.reason, "Failed to execute child process “gpuworker-guest” (No such file or directory)") {
			t.Errorf("before cloud-init has copied it: %v %v", got, refused)
		}
		pause(t, 30*time.Second)
		if got, _ := root.runs("cloud-init", "status", "--format", "json"); got["exitcode"] != 0.0 || !strings.Contains(got["out-data"].(string), `"status": "done"`) {
			t.Errorf("cloud-init at last: %v", got)
		}
		if got := guestState(root); got.Ready || !strings.Contains(got.states(), "Running") {
			t.Errorf("in the middle: ready %v\n%s", got.Ready, got.states())
		}
		pause(t, 2*time.Minute)
		got := guestState(root)
		if diff := cmp.Diff(allDone, got.states()); diff != "" || !got.Ready || got.Driver == nil || got.Driver.Version != "580.95.05" {
			t.Errorf("at last: ready %v, driver %v\n%s", got.Ready, got.Driver, diff)
		}
		want := []modelGPU{{BDF: "0000:01:00.0", ID: "10de:1eb8", Model: got.GPUs[0].Model, UUID: t4OfPVE1}}
		if diff := cmp.Diff(want, got.GPUs); diff != "" {
			t.Errorf("GPUs (-want +got):\n%s", diff)
		}
		if name := root.do("GET", qemu("pve1", 120, "/agent/get-host-name")).object()["result"].(map[string]any)["host-name"]; name != "gpu-1" {
			t.Errorf("host name %v", name)
		}
		if list, _ := root.runs("nvidia-smi", "-L"); !strings.Contains(list["out-data"].(string), got.GPUs[0].UUID) {
			t.Errorf("nvidia-smi: %v", list)
		}
		if gate, _ := root.runs("gpuworker-guest", "gate"); gate["exitcode"] != 0.0 {
			t.Errorf("gate: %v", gate)
		}
	})
}

func TestSimulatedGuestsMisbehave(t *testing.T) {
	for fault, tc := range map[GuestFault]func(*testing.T, *Sim, *client){
		GuestNoAgent: func(t *testing.T, _ *Sim, root *client) {
			root.do("POST", qemu("pve1", 120, "/agent/ping")).refused(500, "QEMU guest agent is not running")
		},
		GuestCloudInitFails: func(t *testing.T, _ *Sim, root *client) {
			got, _ := root.runs("cloud-init", "status", "--format", "json")
			if got["exitcode"] != 1.0 || !strings.Contains(got["out-data"].(string), "No space left on device") {
				t.Errorf("cloud-init: %v", got)
			}
			if got, _ := root.runs("gpuworker-guest", "status"); got != nil {
				t.Errorf("the program is there: %v", got)
			}
		},
		GuestNoDriver: func(t *testing.T, sim *Sim, root *client) {
			got := guestState(root)
			if want := steps("Done", "Done", "Done", "Done", "Done", "Failed", "Pending") + "DRIVER-MISSING\n"; got.states() != want || got.Driver != nil || got.GPUs[0].UUID != "" {
				t.Errorf("driver %v, GPUs %v\n%s", got.Driver, got.GPUs, got.states())
			}
			if gate, _ := root.runs("gpuworker-guest", "gate"); gate["exitcode"] != 3.0 {
				t.Errorf("gate: %v", gate)
			}
			// It is tried again when somebody has mended it.
			if err := sim.SetGuest(120, Guest{OS: "ubuntu 24.04", Agent: true}); err != nil {
				t.Fatal(err)
			}
			root.runs("gpuworker-guest", "bootstrap")
			if got := guestState(root); got.states() != allDone {
				t.Errorf("after it was mended:\n%s", got.states())
			}
		},
		GuestWrongGPU: func(t *testing.T, _ *Sim, root *client) {
			got := guestState(root)
			if want := steps("Done", "Done", "Done", "Done", "Done", "Done", "Done", "Failed", "Pending") + "DRIVER-GPU-UUID\n"; got.states() != want || got.Ready {
				t.Errorf("ready %v\n%s", got.Ready, got.states())
			}
		},
		GuestReboot: func(t *testing.T, _ *Sim, root *client) {
			before := guestState(root)
			pause(t, 36*time.Second)
			root.do("POST", qemu("pve1", 120, "/agent/ping")).refused(500, "QEMU guest agent is not running")
			pause(t, 5*time.Minute)
			if got := guestState(root); got.states() != allDone || got.BootID == before.BootID {
				t.Errorf("boots %s and %s\n%s", before.BootID, got.BootID, got.states())
			}
		},
		GuestHangs: func(t *testing.T, _ *Sim, root *client) {
			pause(t, time.Hour)
			if got := guestState(root); got.states() != steps("Done", "Done", "Done", "Done", "Running", "Pending") {
				t.Errorf("%s", got.states())
			}
		},
		GuestHostile: func(t *testing.T, _ *Sim, root *client) {
			if got := guestState(root); got.Ready || !strings.Contains(got.OS, "\x1b]0;owned") {
				t.Errorf("%+v", got)
			}
		},
		GuestBadStatus: func(t *testing.T, _ *Sim, root *client) {
			text := root.do("GET", qemu("pve1", 120, "/agent/file-read"), "file", guestStatus).object()["content"].(string)
			if json.Valid([]byte(text)) || len(text) < 100_000 {
				t.Errorf("%d bytes of status", len(text))
			}
			if got, _ := root.runs("gpuworker-guest", "status"); got["exitcode"] != 1.0 {
				t.Errorf("status: %v", got)
			}
		},
	} {
		t.Run(string(fault), func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim, root := guestWorker(t, t4OfPVE1, fault)
				if fault == GuestReboot {
					pause(t, time.Minute) // in the bootstrap, before its middle
				} else {
					pause(t, 5*time.Minute)
				}
				tc(t, sim, root)
			})
		})
	}
}

func TestAGuestWhoseCardIsGone(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := guestWorker(t, "")
		pause(t, 5*time.Minute)
		if got := guestState(root); got.states() != allDone {
			t.Errorf("with its card:\n%s", got.states())
		}
		root.done(root.do("POST", qemu("pve1", 120, "/status/stop")), "OK")
		root.do("PUT", qemu("pve1", 120, "/config"), "delete", "hostpci0").ok()
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		pause(t, 5*time.Minute)
		if got := guestState(root); got.states() != steps("Failed", "Pending")+"GUEST-GPU-MISSING\n" || got.Ready {
			t.Errorf("without it: ready %v\n%s", got.Ready, got.states())
		}
	})
}

// The exchange of the seed: with the same instance-id nothing changes at the next boot;
// without any seed, cloud-init resets the network.
func TestTheSeedOfAWorkerIsExchanged(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := guestWorker(t, "")
		pause(t, 5*time.Minute)
		reboot := func() {
			root.done(root.do("POST", qemu("pve1", 120, "/status/reboot")), "OK")
			pause(t, 5*time.Minute)
		}
		addresses := func() int {
			n := 0
			for _, card := range root.do("GET", qemu("pve1", 120, "/agent/network-get-interfaces")).object()["result"].([]any) {
				n += len(card.(map[string]any)["ip-addresses"].([]any))
			}
			return n
		}
		before := addresses()
		attach(t, root, map[string]string{"user-data": "#cloud-config\n{}\n", "meta-data": "instance-id: i-1\n"})
		reboot()
		if got := guestState(root); got.states() != allDone || addresses() != before {
			t.Errorf("with the clean seed: %d addresses, before %d\n%s", addresses(), before, got.states())
		}
		root.do("PUT", qemu("pve1", 120, "/config"), "ide2", "none,media=cdrom").ok()
		reboot()
		if got := addresses(); got != 1 {
			t.Errorf("without a seed: %d addresses, want only the loopback's", got)
		}
	})
}

// The program can also come by the agent; an image without an agent gets it from its seed.
func TestTheWaysIntoAGuest(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := guestWorker(t, "")
		root.done(root.do("POST", qemu("pve1", 120, "/status/stop")), "OK")
		uuid := strings.TrimPrefix(root.conf(120)["smbios1"].(string), "uuid=")
		seed := guestSeed(uuid, "i-2", "", false)
		seed["user-data"] += "packages: [qemu-guest-agent]\n"
		attach(t, root, seed)
		if err := sim.SetGuest(120, Guest{OS: "ubuntu 24.04"}); err != nil {
			t.Fatal(err)
		}
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		pause(t, 30*time.Second)
		root.do("POST", qemu("pve1", 120, "/agent/ping")).refused(500, "QEMU guest agent is not running")
		pause(t, time.Minute)
		root.do("POST", qemu("pve1", 120, "/agent/ping")).ok()
		if got, _ := root.runs("gpuworker-guest", "status"); got != nil {
			t.Errorf("the program is there: %v", got)
		}
		root.do("POST", qemu("pve1", 120, "/agent/file-write"), "file", guestProgram+".0", "content", "EL").ok()
		root.do("POST", qemu("pve1", 120, "/agent/file-write"), "file", guestProgram+".1", "content", "F").ok()
		root.runs("sh", "-ec", `cat "$@" > "$0"`, guestProgram, guestProgram+".0", guestProgram+".1")
		root.runs("systemctl", "start", "--no-block", "gpuworker-guest.service")
		pause(t, 2*time.Minute)
		if got := guestState(root); got.states() != allDone {
			t.Errorf("%s", got.states())
		}
	})
}

func TestWhatASimulatedGuestDoesNotKnow(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := guestWorker(t, "")
		pause(t, 5*time.Minute)
		for _, command := range [][]string{
			{"apt-get", "update"}, {"/opt/x/cat", "y"}, {"cat", "-v", "x"}, {"sh", "-c", "a | b"}, {"sh", "-c", "echo $HOME"}, {"sh", guestOrders},
			{"gpuworker-guest", "seal"}, {"cloud-init", "clean"}, {"nvidia-smi"}, {"systemctl", "stop", "ssh"},
		} {
			if got, refused := root.runs(command...); got != nil || refused.code != 501 || !strings.HasPrefix(refused.reason, "simulator: ") {
				t.Errorf("%q: %v %+v", command, got, refused)
			}
		}
	})
}

func TestAWorldWithAFaultThatDoesNotExist(t *testing.T) {
	world := homelab(t)
	world.VMs[0].Guest.Faults = []GuestFault{"nope"}
	world.VMs[1].Guest.Forbid = []string{"guest-exec"}
	_, err := New(world)
	if err == nil || !strings.Contains(err.Error(), `fault "nope": must be one of`) || !strings.Contains(err.Error(), `forbid "guest-exec": without guest-`) {
		t.Errorf("got %v", err)
	}
}
