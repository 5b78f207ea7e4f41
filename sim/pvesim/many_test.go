package pvesim

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// transcript runs a script and records all bytes of all answers.
func transcript(t *testing.T, seed uint64) string {
	t.Helper()
	var b strings.Builder
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Seed = seed
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		root := sim.asRoot(t, rootPass)
		say := func(c *client, method, path string, fields ...string) *reply {
			got := c.do(method, path, fields...)
			fmt.Fprintf(&b, "%s %s %q\n%d %s\n", method, path, fields, got.code, got.reason)
			for _, name := range slices.Sorted(maps.Keys(got.header)) {
				fmt.Fprintf(&b, "%s: %q\n", name, got.header[name])
			}
			fmt.Fprintf(&b, "%s\n", got.body)
			if upid, ok := got.data.(string); ok && strings.HasPrefix(upid, "UPID:") {
				exit, log := c.task(got)
				fmt.Fprintf(&b, "%s at %s\n%s\n", exit, time.Now().UTC(), strings.Join(log, "\n"))
			}
			return got
		}
		say(root, "POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1, "description", "a")
		for id := 120; id < 124; id++ {
			say(engine, "POST", qemu("pve1", 9000, "/clone"), "newid", strconv.Itoa(id), "name", fmt.Sprint("w", id), "full", strconv.Itoa(id%2))
		}
		say(engine, "POST", qemu("pve1", 9000, "/clone"), "newid", "120")
		say(engine, "POST", qemu("pve1", 9000, "/clone"), "newid", "204")
		say(engine, "PUT", qemu("pve1", 120, "/config"), "hostpci0", "mapping=m1", "net1", "virtio,bridge=vmbr1", "memory", "8192", "tags", "b;a")
		say(engine, "PUT", qemu("pve1", 120, "/resize"), "disk", "scsi0", "size", "+1G")
		say(engine, "POST", qemu("pve1", 120, "/status/start"))
		say(engine, "PUT", qemu("pve1", 121, "/config"), "hostpci0", "mapping=m1")
		say(engine, "POST", qemu("pve1", 121, "/status/start"))
		pause(t, 30*time.Second)
		say(engine, "GET", qemu("pve1", 120, "/agent/network-get-interfaces"))
		say(engine, "POST", qemu("pve1", 120, "/agent/exec"), "command", "echo", "command", "hello")
		say(engine, "POST", qemu("pve1", 120, "/status/shutdown"))
		for _, path := range []string{"/config", "/pending", "/status/current", "/cloudinit/dump?type=user"} {
			say(engine, "GET", qemu("pve1", 120, path))
		}
		for _, path := range []string{"/cluster/resources", "/cluster/mapping/pci", "/nodes/pve1/qemu", "/nodes/pve1/tasks", "/nodes/pve1/hardware/pci", "/nodes"} {
			say(root, "GET", path)
		}
		say(engine, "DELETE", qemu("pve1", 120), "purge", "1")
		say(engine, "GET", qemu("pve1", 120, "/config"))
	})
	return b.String()
}

func TestTheSameSeedAndScriptGiveTheSameBytes(t *testing.T) {
	first, again := transcript(t, 7), transcript(t, 7)
	if len(first) < 20000 {
		t.Errorf("the transcript has only %d bytes", len(first))
	}
	if first != again {
		a, b := strings.Split(first, "\n"), strings.Split(again, "\n")
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("line %d of two runs differs:\n%s\n%s", i+1, a[i], b[min(i, len(b)-1)])
			}
		}
	}
	if transcript(t, 8) == first {
		t.Error("another seed gave the same transcript")
	}
}

var (
	crowdSize = flag.Int("crowd", 200, "how many clients TestManyClientsLoseNoUpdate has")
	crowdTime = flag.Duration("crowd-time", 3*time.Second, "for how long they write")
)

// TestManyClientsLoseNoUpdate lets many clients increment a counter in the description
// of one mapping and of one VM, each by compare-and-swap with the digest. At the end the
// counter must be the number of successful updates. Half of the clients use real
// connections. With more clients: go test -race -run ManyClients -crowd 1000 -crowd-time 30s
func TestManyClientsLoseNoUpdate(t *testing.T) {
	sim := newSim(t, homelab(t), WithTimeScale(1000))
	server := httptest.NewUnstartedServer(sim)
	server.Config = sim.Server()
	server.Start()
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: *crowdSize, IdleConnTimeout: 4 * time.Second}
	defer transport.CloseIdleConnections()
	root := sim.as(t, engineToken)
	root.do("POST", "/cluster/mapping/pci", "id", "counter", "map", t4pve1, "description", "0").ok()
	root.do("PUT", qemu("pve1", 9000, "/config"), "description", "0").ok()

	var wins [2]atomic.Int64
	var tries, odd atomic.Int64
	deadline := time.Now().Add(*crowdTime)
	var wg sync.WaitGroup
	for i := range *crowdSize {
		wg.Go(func() {
			c := sim.as(t, engineToken)
			if i%2 == 0 {
				c.base, c.http = server.URL, &http.Client{Transport: transport}
			}
			for time.Now().Before(deadline) {
				which := i / 2 % 2
				got := count(c, which)
				tries.Add(1)
				switch {
				case got.err == nil && got.code == 200:
					wins[which].Add(1)
				case got.err != nil || got.code != 500 || !lostRace(got.reason):
					odd.Add(1)
					t.Logf("client %d: %d %s %v", i, got.code, got.reason, got.err)
				}
			}
		})
	}
	wg.Wait()
	state := sim.State()
	for which, text := range []string{state.Mappings["counter"].Description, state.VMs[9000].Config["description"]} {
		if text != strconv.FormatInt(wins[which].Load(), 10) || text == "0" {
			t.Errorf("counter %d is at %s after %d wins", which, text, wins[which].Load())
		}
	}
	if odd.Load() > 0 {
		t.Errorf("%d answers were neither a win nor a lost race", odd.Load())
	}
	t.Logf("%d clients, %d tries, %d and %d wins", *crowdSize, tries.Load(), wins[0].Load(), wins[1].Load())
}

func lostRace(reason string) bool {
	return strings.Contains(reason, "detected modified configuration") || strings.Contains(reason, "checksum mismatch") ||
		strings.Contains(reason, "got timeout")
}

// count reads a counter and writes the next number, unless it was changed meanwhile.
func count(c *client, which int) *reply {
	path, fields := "/cluster/mapping/pci/counter", []string{"map", t4pve1}
	if which == 1 {
		path, fields = qemu("pve1", 9000, "/config"), nil
	}
	was := c.do("GET", path)
	data, ok := was.data.(map[string]any)
	if was.err != nil || !ok {
		return was
	}
	n, err := strconv.Atoi(data["description"].(string))
	if err != nil {
		return &reply{t: c.t, err: err}
	}
	form := append(slices.Clone(fields), "description", strconv.Itoa(n+1), "digest", data["digest"].(string))
	return c.do("PUT", path, form...)
}
