package pvesim

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// history sends a fixed sequence of requests and returns the results.
func history(t *testing.T, seed uint64) State {
	t.Helper()
	var state State
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Seed = seed
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).ok()
		for id := 120; id < 123; id++ {
			engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", fmt.Sprint(id)), "OK")
		}
		engine.do("PUT", qemu("pve1", 120, "/config"), "hostpci0", "mapping=gpu-1", "net1", "virtio,bridge=vmbr1").ok()
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		engine.done(engine.do("DELETE", qemu("pve1", 121)), "OK")
		state = sim.State()
	})
	return state
}

func TestTheSameSeedAndRequestsGiveTheSameHistory(t *testing.T) {
	first, again, other := history(t, 7), history(t, 7), history(t, 8)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
	if first.VMs[120].Config["smbios1"] == other.VMs[120].Config["smbios1"] {
		t.Error("another seed gave the same UUID")
	}
	if first.VMs[120].Config["smbios1"] == first.VMs[122].Config["smbios1"] {
		t.Error("two clones have one UUID")
	}
}

func TestWhatAVMGetsDoesNotDependOnOtherTraffic(t *testing.T) {
	uuid := func(before int) (out string) {
		play(t, func(t *testing.T) {
			sim := newSim(t, homelab(t))
			engine := sim.as(t, engineToken)
			for id := range before {
				engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", fmt.Sprint(500+id)), "OK")
			}
			engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
			out = sim.State().VMs[120].Config["smbios1"]
		})
		return out
	}
	if alone, late := uuid(0), uuid(3); alone != late {
		t.Errorf("the clone alone is %s, after three others %s", alone, late)
	}
}

func TestTwoHundredClientsAtOnce(t *testing.T) {
	const clients = 200
	var seen sync.Map
	sim := newSim(t, homelab(t), WithTimeScale(5000), WithHook(func(e Event) {
		if _, twice := seen.LoadOrStore(e.Seq, e.Kind); twice {
			t.Errorf("event %d came twice", e.Seq)
		}
		checkOneCardOneVM(t, e.State())
	}))
	server := httptest.NewServer(sim)
	defer server.Close()
	engine := sim.as(t, engineToken)
	engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).ok()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()

	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c := sim.as(t, engineToken)
			if i%2 == 0 {
				c.base, c.http = server.URL, &http.Client{Transport: transport}
			}
			// Forty ids for two hundred clients: most race for theirs.
			worker(c, 1000+i%40)
		})
	}
	wg.Wait()
	state := sim.State()
	for _, task := range state.Tasks {
		if task.Exit == "" {
			t.Errorf("task %s still runs", task.UPID)
		}
	}
	for id, v := range state.VMs {
		if id >= 1000 && id < 1040 && (v.Lock != "" || v.Busy || v.Starting) {
			t.Errorf("VM %d is left with lock %q, busy %v, starting %v", id, v.Lock, v.Busy, v.Starting)
		}
	}
}

// worker is one of many clients, which ignores the answers.
func worker(c *client, id int) {
	path := qemu("pve1", id)
	wait := func(r *reply) {
		if upid, ok := r.data.(string); ok && strings.HasPrefix(upid, "UPID:") {
			c.task(r)
		}
	}
	wait(c.do("POST", qemu("pve1", 9000, "/clone"), "newid", fmt.Sprint(id), "name", fmt.Sprint("w", id)))
	c.do("GET", path+"/config")
	c.do("PUT", path+"/config", "hostpci0", "mapping=gpu-1", "tags", "gpuworker")
	c.do("GET", "/cluster/resources", "type", "vm")
	wait(c.do("POST", path+"/status/start"))
	c.do("GET", path+"/status/current")
	c.do("GET", "/cluster/nextid")
	wait(c.do("POST", path+"/status/stop"))
	wait(c.do("DELETE", path))
}

func TestRebootsAmongManyClientsLeaveNothingHalfHeld(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t), WithHook(func(e Event) { checkOneCardOneVM(t, e.State()) }))
		engine := sim.as(t, engineToken)
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1).ok()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				pause(t, time.Duration(i)*700*time.Millisecond)
				c := sim.as(t, engineToken)
				for range 3 {
					patientWorker(c, 1000+i%8)
				}
			})
		}
		for range 6 {
			pause(t, 17*time.Second)
			if err := sim.RebootHost("pve1"); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		pause(t, 10*time.Minute)
		state := sim.State()
		for id, v := range state.VMs {
			if v.Busy || v.Starting {
				t.Errorf("VM %d is left busy (%v) or starting (%v)", id, v.Busy, v.Starting)
			}
		}
		for name, h := range state.Hosts {
			for device, id := range h.Reserved {
				if v := state.VMs[id]; !v.Running || !slices.Contains(v.Devices, device) {
					t.Errorf("%s keeps %s for VM %d, which runs: %v with %v", name, device, id, v.Running, v.Devices)
				}
			}
		}
		died := 0
		for _, task := range state.Tasks {
			if task.Exit == "" {
				t.Errorf("task %s never ended", task.UPID)
			}
			if task.Exit == "unexpected status" {
				died++
			}
		}
		if died == 0 {
			t.Error("no task died in a reboot; the test does not test much")
		}
	})
}

// patientWorker continues after all errors, also while its host is offline.
func patientWorker(c *client, id int) {
	path := qemu("pve1", id)
	for _, step := range [][]string{
		{"POST", qemu("pve1", 9000, "/clone"), "newid", fmt.Sprint(id)},
		{"PUT", path + "/config", "hostpci0", "mapping=gpu-1", "onboot", "1"},
		{"POST", path + "/status/start"},
		{"POST", path + "/status/shutdown", "timeout", "5", "forceStop", "1"},
		{"DELETE", path},
	} {
		c.do(step[0], step[1], step[2:]...)
		pause(c.t, 3*time.Second)
	}
}

// checkOneCardOneVM checks an invariant of the simulator: a device belongs to at most one
// VM, and that VM exists.
func checkOneCardOneVM(t *testing.T, s State) {
	holders := map[string]int{}
	for id, v := range s.VMs {
		for _, device := range v.Devices {
			key := v.Host + " " + device
			if other, held := holders[key]; held {
				t.Errorf("%s is with VM %d and VM %d", key, id, other)
			}
			holders[key] = id
			if s.Hosts[v.Host].Reserved[device] != id {
				t.Errorf("VM %d has %s, which is reserved for %d", id, key, s.Hosts[v.Host].Reserved[device])
			}
		}
	}
}

func TestHooksSeeEachStateInOrder(t *testing.T) {
	play(t, func(t *testing.T) {
		type step struct {
			Kind EventKind
			VMID int
		}
		var mu sync.Mutex
		var steps []step
		locks := map[string]bool{}
		var sim *Sim
		sim = newSim(t, homelab(t), WithHook(func(e Event) {
			sim.State() // must not deadlock
			mu.Lock()
			defer mu.Unlock()
			if e.VMID == 120 && e.Kind != VolumeCreated {
				steps = append(steps, step{e.Kind, e.VMID})
				locks[string(e.Kind)+" "+e.State().VMs[120].Lock] = true
			}
		}))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
		engine.do("PUT", qemu("pve1", 120, "/config"), "cores", "4").ok()
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/stop")), "OK")
		mu.Lock()
		defer mu.Unlock()
		// A clone is written after each of its two drives and at its end.
		want := []step{{VMCreated, 120}, {VMConfigured, 120}, {VMConfigured, 120}, {VMConfigured, 120}, {VMConfigured, 120}, {VMStarting, 120}, {VMStarted, 120}, {VMStopped, 120}}
		if diff := cmp.Diff(want, steps); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if !locks["vm.created clone"] || !locks["vm.configured clone"] || !locks["vm.configured "] {
			t.Errorf("locks seen by the hook: %v", locks)
		}
	})
}

func TestClosingEndsWhatStillRuns(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, err := New(homelab(t), WithLog(func(string, ...any) {}))
		if err != nil {
			t.Fatal(err)
		}
		engine := sim.as(t, engineToken)
		engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "full", "1").ok()
		if err := sim.Inject(Fault{Path: "/version$", Effect: Hang}); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() { answered <- engine.do("GET", "/version").err }()
		synctest.Wait()
		sim.Close()
		if err := <-answered; err == nil {
			t.Error("the request that hung was answered")
		}
		if got := engine.do("GET", "/version"); got.err == nil {
			t.Errorf("a closed simulator answered %d", got.code)
		}
	})
}

func TestRefusalsAreLogged(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	sim := newSim(t, homelab(t), WithLog(func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf(format, args...))
	}))
	sim.as(t, engineToken).do("GET", "/nodes/pve1/ceph")
	mu.Lock()
	defer mu.Unlock()
	want := []string{"pvesim: GET /api2/json/nodes/pve1/ceph: 501 Method 'GET /nodes/pve1/ceph' not implemented"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
