package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// exits runs a command and checks its exit code: exits 3 gpuworker plan …
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// onlyJSON checks that the last command wrote exactly one JSON value to a stream, or,
// with `lines`, one per line: onlyjson stdout, onlyjson stderr lines
func onlyJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) == 2 && args[1] != "lines" || len(args) > 2 {
		ts.Fatalf("usage: onlyjson stdout|stderr [lines]")
	}
	text := ts.ReadFile(args[0])
	values := []string{text}
	if len(args) == 2 {
		values = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	for _, value := range values {
		if !json.Valid([]byte(value)) {
			ts.Fatalf("not one JSON value: %q", value)
		}
	}
}

// injectFault adds a fault to the cluster: fault '{path: /version, effect: html}'
func injectFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fault YAML")
	}
	var f pvesim.Fault
	ts.Check(yaml.UnmarshalStrict([]byte(args[0]), &f))
	ts.Check(clusterOf(ts).sim.Inject(f))
}

// listVMs prints the VMs that are not templates, one per line.
func listVMs(ts *testscript.TestScript, _ bool, _ []string) {
	vms := clusterOf(ts).sim.State().VMs
	for _, id := range slices.Sorted(maps.Keys(vms)) {
		vm := vms[id]
		if vm.Template {
			continue
		}
		power := "stopped"
		if vm.Running {
			power = "running"
		}
		words := []string{strconv.Itoa(vm.ID), vm.Host, vm.Name, power}
		for _, key := range []string{"cores", "memory", "hostpci0", "protection", "tags"} {
			words = append(words, key+"="+vm.Config[key])
		}
		fmt.Fprintln(ts.Stdout(), strings.Join(words, " "))
	}
}

// listMappings prints the PCI mappings, one per line.
func listMappings(ts *testscript.TestScript, _ bool, _ []string) {
	mappings := clusterOf(ts).sim.State().Mappings
	for _, id := range slices.Sorted(maps.Keys(mappings)) {
		fmt.Fprintf(ts.Stdout(), "%s %q\n", id, mappings[id].Description)
	}
	fmt.Fprintf(ts.Stdout(), "%d mappings\n", len(mappings))
}

// written checks that the cluster has received write requests since the last check;
// `! written` checks that it has not.
func written(ts *testscript.TestScript, neg bool, _ []string) {
	c := clusterOf(ts)
	var lines []string
	for _, request := range c.sim.Requests() {
		if request.Method != http.MethodGet {
			lines = append(lines, request.Method+" "+request.Path)
		}
	}
	fresh := lines[c.writes:]
	c.writes = len(lines)
	switch {
	case neg && len(fresh) > 0:
		ts.Fatalf("the cluster was written to:\n%s", strings.Join(fresh, "\n"))
	case !neg && len(fresh) == 0:
		ts.Fatalf("the cluster was not written to")
	}
}

// await waits until the cluster has received a request: await 'POST /nodes/pve1/qemu/9000/clone'
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await 'METHOD PATH'")
	}
	c := clusterOf(ts)
	within(ts, args[0], func() bool {
		return slices.ContainsFunc(c.sim.Requests(), func(r pvesim.RequestRecord) bool { return r.Method+" "+r.Path == args[0] })
	})
}

// within waits until a condition is true.
func within(ts *testscript.TestScript, what string, holds func() bool) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			ts.Fatalf("timeout while waiting for %s", what)
		}
	}
}

// rootCall calls the API as root@pam, like a manual change, and waits for the task:
// root POST /nodes/pve1/qemu vmid=9100 name=other
func rootCall(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: root METHOD PATH [KEY=VALUE…]")
	}
	sim := clusterOf(ts).sim
	r := &root{http: &http.Client{Transport: sim.Transport()}}
	login := r.call(ts, http.MethodPost, "/access/ticket", url.Values{"username": {"root@pam"}, "password": {"homelab-root"}})
	var ticket struct{ Ticket, CSRFPreventionToken string }
	ts.Check(json.Unmarshal(login, &ticket))
	r.cookie, r.csrf = "PVEAuthCookie="+url.QueryEscape(ticket.Ticket), ticket.CSRFPreventionToken
	params := url.Values{}
	for _, arg := range args[2:] {
		key, value, _ := strings.Cut(arg, "=")
		params.Set(key, value)
	}
	answer := r.call(ts, args[0], args[1], params)
	var upid string
	if json.Unmarshal(answer, &upid) != nil || !strings.HasPrefix(upid, "UPID:") {
		return
	}
	within(ts, "the end of "+upid, func() bool {
		return slices.ContainsFunc(sim.State().Tasks, func(t pvesim.TaskState) bool { return t.UPID == upid && t.Exit != "" })
	})
}

// root is a login of root@pam.
type root struct {
	http         *http.Client
	cookie, csrf string
}

func (r *root) call(ts *testscript.TestScript, method, path string, params url.Values) json.RawMessage {
	address := "https://pve/api2/json" + path
	var body io.Reader
	if method == http.MethodGet || method == http.MethodDelete {
		address += "?" + params.Encode()
	} else {
		body = strings.NewReader(params.Encode())
	}
	request, err := http.NewRequest(method, address, body)
	ts.Check(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Cookie", r.cookie)
	request.Header.Set("CSRFPreventionToken", r.csrf)
	response, err := r.http.Do(request)
	ts.Check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	ts.Check(err)
	if response.StatusCode != http.StatusOK {
		ts.Fatalf("root %s %s: %s: %s", method, path, response.Status, text)
	}
	var answer struct{ Data json.RawMessage }
	ts.Check(json.Unmarshal(text, &answer))
	return answer.Data
}
