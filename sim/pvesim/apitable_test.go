package pvesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// declaredCall is one call in the table of the real API.
type declaredCall struct {
	Parameters  map[string]schema `json:"parameters"`
	Permissions *struct {
		User  string `json:"user"`
		Check []any  `json:"check"`
	} `json:"permissions"`
	Protected            int    `json:"protected"`
	ProxyTo              string `json:"proxyto"`
	AdditionalProperties int    `json:"additionalProperties"`
}

// apiTable reads the table of the real API, which is not part of this repository:
// $PVE_API_TABLE, or else a file beside the checkout. Without it the test is skipped.
func apiTable(t *testing.T) map[string]declaredCall {
	t.Helper()
	file := os.Getenv("PVE_API_TABLE")
	if file == "" {
		file = filepath.Join("..", "..", "..", "shared", "facts", "pve-api-9.1.json")
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			t.Skip("NOT JUDGED: the table of the real API is not here; set PVE_API_TABLE to the file")
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Paths map[string]map[string]declaredCall `json:"paths"`
	}
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	calls := map[string]declaredCall{}
	for path, methods := range table.Paths {
		for method, c := range methods {
			calls[method+" "+path] = c
		}
	}
	if len(calls) < 100 {
		t.Fatalf("%s: only %d calls", file, len(calls))
	}
	return calls
}

// key is a call's key in the table.
func (c call) key() string { return c.method + " " + declaredPath(c.path) }

// answering is the parameter with the host that must answer, "" for any host.
func (c call) answering() string {
	switch {
	case c.proxy == anyHost:
		return ""
	case c.proxy == "" && strings.Contains(c.path, "{node}"):
		return "node"
	}
	return c.proxy
}

// eachDeclared calls f for each declared and implemented call.
func eachDeclared(t *testing.T, f func(t *testing.T, c call, d declaredCall)) {
	t.Helper()
	declared := apiTable(t)
	for _, c := range table(newest) {
		if d, ok := declared[c.key()]; ok {
			t.Run(c.key(), func(t *testing.T) { f(t, c, d) })
		}
	}
}

// deviation reports whether a difference from the table is known, and logs why.
func deviation(t *testing.T, name string) bool {
	t.Helper()
	for _, d := range deviations {
		if d.name.MatchString(name) {
			t.Logf("%s differs from the table: %s", name, d.why)
			return true
		}
	}
	return false
}

// deviations are the intended differences from the table.
var deviations = []struct {
	name *regexp.Regexp // METHOD PATH, or METHOD PATH parameter
	why  string
}{
	{regexp.MustCompile(`^POST /nodes/{node}/storage/{storage}/upload tmpfilename$`),
		"between the proxy and the daemon of the real server; a client that sends it gets a bare 400, as recorded"},
	{regexp.MustCompile(`^POST /nodes/{node}/storage/{storage}/upload proxyto$`), "the real call passes the file on itself, once it has it"},
	{regexp.MustCompile(`^PUT /access/users/{userid}/token/{tokenid} regenerate$`), "Proxmox VE 9.2 has it, the table is that of 9.1; worlds before 9.2 refuse it"},
	{regexp.MustCompile(`^GET /cluster/mapping/pci proxyto$`), "the real call computes the host from check-node"},
}

func TestEachCallIsDeclaredByTheRealAPI(t *testing.T) {
	declared := apiTable(t)
	both, beyond := 0, []string{}
	for _, c := range table(newest) {
		if _, ok := declared[c.key()]; ok {
			both++
		} else {
			beyond = append(beyond, c.key())
		}
	}
	t.Logf("implemented %d of %d declared calls, and beyond these %d: %s", both, len(declared), len(beyond), strings.Join(beyond, ", "))
	for _, name := range beyond {
		if !slices.Contains(beyondTable, name) {
			t.Errorf("%s is simulated, and the table does not have it", name)
		}
	}
}

// beyondTable are calls of Proxmox VE that the table lacks.
var beyondTable = []string{"GET /", "GET /access", "GET /access/domains", "GET /access/groups", "GET /access/groups/{groupid}",
	"POST /access/groups", "DELETE /access/groups/{groupid}", "PUT /access/password",
	"GET /cluster", "GET /nodes/{node}/network/{iface}", "GET /nodes/{node}/qemu/{vmid}/feature"}

func TestParametersAreThoseOfTheTable(t *testing.T) {
	eachDeclared(t, func(t *testing.T, c call, d declaredCall) {
		ours := merge(c.params, pathSpecs(segments(c.path)))
		for name, p := range d.Parameters {
			one, indexed := strings.CutSuffix(name, "[n]")
			if indexed {
				one += "0"
			}
			if s, ok := ours[one]; !ok {
				if !deviation(t, c.key()+" "+name) {
					t.Errorf("%s is refused, and the real server knows it", name)
				}
			} else if isPath := strings.Contains(declaredPath(c.path), "{"+name+"}"); s.required != p.required() && !isPath {
				t.Errorf("%s: required is %v, want %v", name, s.required, p.required())
			} else if s.requires != p.Requires {
				if !deviation(t, c.key()+" "+name) {
					t.Errorf("%s requires %q, want %q", name, s.requires, p.Requires)
				}
			}
		}
		for name := range ours {
			_, plain := d.Parameters[name]
			base := strings.TrimRight(name, "0123456789")
			if _, indexed := d.Parameters[base+"[n]"]; !plain && !indexed && !deviation(t, c.key()+" "+name) {
				t.Errorf("%s is taken, and the real server does not know it", name)
			}
		}
		if got := c.answering(); got != d.ProxyTo && !deviation(t, c.key()+" proxyto") {
			t.Errorf("the host of parameter %q answers, want %q", got, d.ProxyTo)
		}
		if got, want := c.protected, d.Protected == 1; got != want && !deviation(t, c.key()+" protected") {
			t.Errorf("protected is %v, want %v: that decides whether answers say that the connection closes", got, want)
		}
	})
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	sim := newSim(t, homelab(t))
	root := sim.asRoot(t, rootPass)
	eachDeclared(t, func(t *testing.T, c call, d declaredCall) {
		path, _ := probe(c, d, "", "")
		for name, p := range d.Parameters {
			if !p.required() || strings.Contains(declaredPath(c.path), "{"+name+"}") || c.upload {
				continue
			}
			got := (&client{t: t, base: root.base, http: root.http, header: root.header}).do(c.method, path, bogus, "1")
			if got := got.complaint(name); got != "property is missing and it is not optional" {
				t.Errorf("without %s: %q", name, got)
			}
		}
	})
}

const bogus = "no-such-parameter"

// probe sends a request that is always refused because of its parameters: it changes
// nothing, and the answer has the errors of all parameters.
func probe(c call, d declaredCall, name, value string) (path string, fields []string) {
	samples := map[string]string{"node": "pve1", "vmid": "120", "storage": "local", "id": "vdi-t4", "upid": "UPID:x", "volume": "iso/x.iso",
		"userid": "root@pam", "tokenid": "t0", "roleid": "PVEAdmin", "poolid": "gpu-workers", "sid": "vm:100", "iface": "vmbr0", "snapname": "before", "pci-id-or-mapping": "vdi-t4"}
	given := map[string]string{bogus: "1"}
	for parameter, p := range d.Parameters {
		if !p.required() {
			continue
		}
		if value, ok := p.fitting(); ok {
			given[parameter] = value
		}
	}
	for _, part := range segments(declaredPath(c.path)) {
		if parameter := strings.Trim(part, "{}"); parameter != part {
			delete(given, parameter)
			if part = samples[parameter]; parameter == name {
				part, name = value, ""
			}
		}
		path += "/" + url.PathEscape(part)
	}
	if name != "" {
		given[strings.Replace(name, "[n]", "0", 1)] = value
	}
	for _, parameter := range slices.Sorted(maps.Keys(given)) {
		fields = append(fields, parameter, given[parameter])
	}
	return path, fields
}

// complaint returns the server's error for one parameter, "" if it accepts it.
func (r *reply) complaint(name string) string {
	r.t.Helper()
	if r.code != 400 || r.errors[bogus] != unknownProperty {
		r.t.Fatalf("no complaint about the unknown parameter: %d %s %s", r.code, r.reason, r.body)
	}
	name = strings.Replace(name, "[n]", "0", 1)
	for _, key := range []string{name, name + "[0]"} {
		if text, ok := r.errors[key]; ok {
			return fmt.Sprint(text)
		}
	}
	return ""
}

func TestValuesAreTakenAndRefusedAsTheTableSays(t *testing.T) {
	sim := newSim(t, homelab(t))
	root := sim.asRoot(t, rootPass)
	sent := 0
	eachDeclared(t, func(t *testing.T, c call, d declaredCall) {
		if c.upload || d.AdditionalProperties == 1 {
			t.Skip("not judged: it takes no unknown parameters to be refused for")
		}
		for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
			p := d.Parameters[name]
			if name == d.ProxyTo || name == "check-node" {
				continue // who is to answer: another host is another error, and comes before
			}
			if p.Type == "array" {
				p = *p.Items // one value is an array of one
			}
			var wrong []string
			try := func(value string, want bool) {
				path, fields := probe(c, d, name, value)
				answer := (&client{t: t, base: root.base, http: root.http, header: root.header}).do(c.method, path, fields...)
				sent++
				if strings.Contains(c.path, "{"+name+"}") && strings.Contains(value, " ") {
					if answer.code != 501 { // such a path reaches no call
						wrong = append(wrong, fmt.Sprintf("%.60q in the path: %d %s", value, answer.code, answer.reason))
					}
					return
				}
				complaint := answer.complaint(name)
				if got := complaint == ""; got != want {
					wrong = append(wrong, fmt.Sprintf("%.60q: taken is %v, want %v (%s)", value, got, want, complaint))
				}
			}
			for _, value := range p.probes() {
				if want, known := p.takes(value); known {
					try(value, want)
				}
			}
			for _, probe := range p.stringProbes() {
				try(probe.value, probe.takes)
			}
			if len(wrong) > 0 && !deviation(t, c.key()+" "+name) {
				t.Errorf("%s\n  %s", name, strings.Join(wrong, "\n  "))
			}
		}
	})
	t.Logf("%d values were sent", sent)
}
