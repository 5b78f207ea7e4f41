package pvesim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// lab is a simulator with a minimal client.
type lab struct {
	*pvesim.Sim
	http *http.Client
}

// homelab starts the example world, a thousand times faster than real time.
func homelab(change ...func(*pvesim.World)) lab {
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		panic(err)
	}
	for _, c := range change {
		c(&world)
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(1000), pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		panic(err)
	}
	return lab{sim, &http.Client{Transport: sim.Transport()}}
}

// call makes a request with the token of the example world. It returns the
// "data" of the answer, or the reason of the refusal as an error.
func (l lab) call(method, path string, form url.Values) (any, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, "https://pve.example/api2/json"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "PVEAPIToken=gpuworker@pve!engine=11111111-1111-4111-8111-111111111111")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var answer struct{ Data any }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Data, err
}

// must ends the example at an unexpected error.
func (l lab) must(err error) {
	if err != nil {
		panic(err)
	}
}

// end waits for a task and returns its exit status.
func (l lab) end(upid any) string {
	node := strings.Split(fmt.Sprint(upid), ":")[1]
	for {
		data, err := l.call("GET", "/nodes/"+node+"/tasks/"+url.PathEscape(fmt.Sprint(upid))+"/status", nil)
		if err != nil {
			return err.Error()
		}
		if status := data.(map[string]any); status["status"] == "stopped" {
			return fmt.Sprint(status["exitstatus"])
		}
		<-time.After(time.Millisecond)
	}
}

// A simulator is an http.Handler.
func ExampleNew() {
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		panic(err)
	}
	sim, err := pvesim.New(world)
	if err != nil {
		panic(err)
	}
	defer sim.Close()
	server := httptest.NewTLSServer(sim)
	defer server.Close()

	resp, err := server.Client().Get(server.URL + "/api2/json/access/ticket")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output: 200 OK {"data":null} <nil>
}

// The clone times out on the storage lock: the request succeeds, the task fails, and
// nothing is left behind. A retry works.
func ExampleSim_Inject_storageLock() {
	l := homelab()
	defer l.Close()
	l.must(l.Inject(pvesim.Fault{Method: "POST", Path: "/clone$", Effect: pvesim.StorageLockTimeout,
		Text: "cfs-lock 'storage-nas' error: got lock request timeout"}))

	for range 2 {
		upid, err := l.call("POST", "/nodes/pve1/qemu/9000/clone", url.Values{"newid": {"130"}, "full": {"1"}})
		l.must(err)
		fmt.Println(l.end(upid))
	}
	// Output:
	// cfs-lock 'storage-nas' error: got lock request timeout
	// OK
}

// The host reboots during a start. The task ends with "unexpected status", and the VM is
// stopped.
func ExampleSim_RebootHost() {
	l := homelab(func(w *pvesim.World) {
		timings := pvesim.DefaultTimings()
		timings.Start = pvesim.Duration(time.Hour) // long enough to pull the plug
		w.Timings = &timings
	})
	defer l.Close()
	upid, err := l.call("POST", "/nodes/pve1/qemu/9000/clone", url.Values{"newid": {"130"}, "full": {"1"}})
	l.must(err)
	l.end(upid)

	upid, err = l.call("POST", "/nodes/pve1/qemu/130/status/start", url.Values{})
	l.must(err)
	l.must(l.RebootHost("pve1"))
	for {
		if _, err = l.call("GET", "/nodes/pve1/status", nil); err == nil {
			break
		}
		<-time.After(time.Millisecond)
	}
	fmt.Println(l.end(upid))
	fmt.Println("running:", l.State().VMs[130].Running)
	// Output:
	// unexpected status
	// running: false
}

// The answer is lost after the clone was carried out. The client does not know it, but
// the number is in use.
func ExampleSim_Inject_lostAnswer() {
	l := homelab()
	defer l.Close()
	l.must(l.Inject(pvesim.Fault{Path: "/clone$", Effect: pvesim.DropAfter}))

	clone := url.Values{"newid": {"130"}, "full": {"1"}}
	_, err := l.call("POST", "/nodes/pve1/qemu/9000/clone", clone)
	fmt.Println("an answer:", err == nil)
	_, err = l.call("POST", "/nodes/pve1/qemu/9000/clone", clone)
	fmt.Println(err)
	// Output:
	// an answer: false
	// 500 unable to create VM 130: config file already exists
}

// The agent never answers: it is configured but not installed.
func ExampleGuest_withoutAgent() {
	l := homelab(func(w *pvesim.World) {
		for i := range w.VMs {
			w.VMs[i].Guest.Agent = false
		}
	})
	defer l.Close()
	upid, err := l.call("POST", "/nodes/pve1/qemu/9000/clone", url.Values{"newid": {"130"}})
	l.must(err)
	fmt.Println(l.end(upid))
	upid, err = l.call("POST", "/nodes/pve1/qemu/130/status/start", url.Values{})
	l.must(err)
	fmt.Println(l.end(upid))
	_, err = l.call("POST", "/nodes/pve1/qemu/130/agent/ping", url.Values{})
	fmt.Println(err)
	// Output:
	// OK
	// OK
	// 500 QEMU guest agent is not running
}
