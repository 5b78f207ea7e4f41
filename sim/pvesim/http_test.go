package pvesim

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// overTLS returns a client with a real connection to a simulator.
func overTLS(t *testing.T, sim *Sim, token string) *client {
	t.Helper()
	server := httptest.NewTLSServer(sim)
	t.Cleanup(server.Close)
	c := sim.as(t, token)
	c.base, c.http = server.URL, server.Client()
	return c
}

// fast makes everything a thousand times faster, for tests with real waits.
var fast = WithTimeScale(1000)

func TestTheReasonIsInTheStatusLine(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	c := overTLS(t, sim, engineToken)
	for name, tc := range map[string]struct {
		method, path string
		fields       []string
		code         int
		reason, body string
	}{
		"a VM that is not there": {"GET", qemu("pve1", 999, "/config"), nil, 500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
			`{"data":null,"message":"Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist\n"}`},
		"a privilege that is missing": {"DELETE", "/nodes/pve1/storage/local/content/local:iso/x.iso", nil, 403, "Permission check failed (/storage/local, Datastore.Allocate)",
			`{"data":null,"message":"Permission check failed (/storage/local, Datastore.Allocate)\n"}`},
		"a parameter that the call does not have": {"GET", "/version", []string{"bogus", "1"}, 400, "Parameter verification failed.",
			`{"data":null,"errors":{"bogus":"property is not defined in schema and the schema does not allow additional properties"},"message":"Parameter verification failed.\n"}`},
		"a path that is not there": {"GET", "/nope", nil, 501, "Method 'GET /nope' not implemented",
			`{"data":null,"message":"Method 'GET /nope' not implemented"}`},
		"a method that the path does not have": {"POST", "/version", nil, 501, "Method 'POST /version' not implemented",
			`{"data":null,"message":"Method 'POST /version' not implemented"}`},
		"a host that is not there": {"GET", "/nodes/pve9/qemu", nil, 500, "hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known",
			`{"data":null,"message":"hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known\n"}`},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			for _, how := range []*client{c, sim.as(t, engineToken)} {
				got := how.do(tc.method, tc.path, tc.fields...).refused(tc.code, tc.reason)
				if got.body != tc.body {
					t.Errorf("body:\n%s\nwant:\n%s", got.body, tc.body)
				}
				if kind := got.header.Get("Content-Type"); kind != "application/json;charset=UTF-8" {
					t.Errorf("content type %q", kind)
				}
			}
		})
	}
}

func TestAHostThatIsAwayGives595(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	if err := sim.SetHostOnline("pve3", false); err != nil {
		t.Fatal(err)
	}
	c := overTLS(t, sim, engineToken)
	for _, path := range []string{"/nodes/pve3/status", "/nodes/pve3/qemu", "/nodes/pve3/hardware/pci", qemu("pve3", 110, "/config")} {
		c.do("GET", path).refused(595, "No route to host")
	}
	c.do("GET", "/cluster/mapping/pci", "check-node", "pve3").refused(595, "No route to host")
	for _, r := range c.do("GET", "/cluster/resources").list() {
		entry := r.(map[string]any)
		switch {
		case entry["id"] == "node/pve3" && entry["status"] != "offline":
			t.Errorf("the host is shown as %v, want offline", entry["status"])
		case entry["id"] == "qemu/110" && (entry["status"] != "unknown" || entry["name"] != nil):
			t.Errorf("a VM of it is shown as %v, named %v; want unknown and no name", entry["status"], entry["name"])
		case entry["id"] == "qemu/9002" && entry["tags"] != "template;ubuntu-22-04":
			t.Errorf("tags of its template: %v", entry["tags"])
		}
	}
}

func TestOddRequestsGetWhatPveproxySays(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	c := overTLS(t, sim, engineToken)
	for name, tc := range map[string]struct {
		method, path, contentType, body string
		code                            int
		reason                          string
	}{
		"a method that HTTP has and pveproxy does not": {"PATCH", "/api2/json/version", "", "", 501, "method 'PATCH' not available"},
		"a body on DELETE":                   {"DELETE", "/api2/json/nodes/pve1/qemu/999", "application/x-www-form-urlencoded", "purge=1", 501, "Unexpected content for method 'DELETE'"},
		"a body on GET":                      {"GET", "/api2/json/version", "application/x-www-form-urlencoded", "a=1", 501, "Unexpected content for method 'GET'"},
		"a content type of another kind":     {"PUT", "/api2/json/nodes/pve1/qemu/100/config", "text/plain", "memory=256", 506, "upload 'Content-Type 'text/plain' not implemented"},
		"a form that is too long":            {"PUT", "/api2/json/nodes/pve1/qemu/100/config", "application/x-www-form-urlencoded", "description=" + strings.Repeat("x", 600<<10), 501, "for data too large"},
		"another format":                     {"GET", "/api2/nope/version", "", "", 501, "no formatter for uri /version, nope"},
		"no API path":                        {"GET", "/nope", "", "", 500, "no such file '/nope'"},
		"half an API path":                   {"GET", "/api2", "", "", 501, "no such uri"},
		"JSON that is empty":                 {"PUT", "/api2/json/nodes/pve1/qemu/100/config", "application/json", "", 500, `malformed JSON string, neither tag, array, object, number, string or atom, at character offset 0 (before "(end of string)")`},
		"a doubled slash and one at the end": {"GET", "/api2/json//version/", "", "", 200, "OK"},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			req, err := http.NewRequest(tc.method, c.base+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = c.header.Clone()
			req.Header.Set("Content-Type", tc.contentType)
			if got := c.send(req); got.err != nil || got.code != tc.code || got.reason != tc.reason {
				t.Errorf("got %d %q (%v), want %d %q", got.code, got.reason, got.err, tc.code, tc.reason)
			}
		})
	}
}

func TestChunkedBodiesAreRefusedByBothTransports(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	for _, c := range []*client{overTLS(t, sim, engineToken), sim.as(t, engineToken)} {
		req, err := http.NewRequest("PUT", c.base+"/api2/json/nodes/pve1/qemu/100/config", io.MultiReader(strings.NewReader("memory=256")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = c.header.Clone()
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		c.send(req).refused(501, "chunked transfer encoding not supported")
	}
}

func TestExtJSAnswersErrorsWith200(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	c := overTLS(t, sim, engineToken)
	req, err := http.NewRequest("GET", c.base+"/api2/extjs/nodes/pve1/qemu/999/config", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = c.header
	got := c.send(req)
	want := `{"data":null,"message":"Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist\n","status":500,"success":0}`
	if got.code != 200 || got.body != want {
		t.Errorf("got %d %s, want 200 %s", got.code, got.body, want)
	}
}

func TestJSONAndFormsMeanTheSameAndTheQueryWins(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	c := overTLS(t, sim, engineToken)
	put := func(query, contentType, body string) *reply {
		t.Helper()
		req, err := http.NewRequest("PUT", c.base+"/api2/json/nodes/pve1/qemu/9000/config"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = c.header.Clone()
		req.Header.Set("Content-Type", contentType)
		return c.send(req)
	}
	config := func(key string) string { return sim.State().VMs[9000].Config[key] }

	put("", "application/json", `{"memory":"300","onboot":true,"cores":3}`).ok()
	if config("memory") != "300" || config("onboot") != "1" || config("cores") != "3" {
		t.Errorf("after JSON: memory %q, onboot %q, cores %q", config("memory"), config("onboot"), config("cores"))
	}
	put("", "application/json", `{"delete":["onboot","cores"]}`).ok()
	if config("onboot") != "" || config("cores") != "" {
		t.Errorf("after deleting by a list: onboot %q, cores %q", config("onboot"), config("cores"))
	}
	put("", "application/json", `{"memory":null}`).refused(500, "unable to parse value of 'memory' - got undefined value")
	put("?memory=400", "application/x-www-form-urlencoded", "memory=500").ok()
	if config("memory") != "400" {
		t.Errorf("the query says 400, the body 500, and the memory is %q", config("memory"))
	}
	if got := put("", "application/x-www-form-urlencoded", "memory=300&memory=256"); got.errors["memory"] != "type check ('string') failed - got ARRAY" {
		t.Errorf("a repeated parameter: %v", got.errors)
	}
}

// uploadTo sends a file like a browser.
func uploadTo(c *client, path, name, content string, fields ...string) *reply {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(fields); i += 2 {
		if err := form.WriteField(fields[i], fields[i+1]); err != nil {
			c.t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile("filename", name)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(part, content); err != nil {
		c.t.Fatal(err)
	}
	form.Close()
	req, err := http.NewRequest("POST", c.base+"/api2/json"+path, bytes.NewReader(body.Bytes()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	req.Header.Set("Content-Type", form.FormDataContentType())
	return c.send(req)
}

// sendRaw posts a body as it is.
func sendRaw(c *client, path, body, contentType string) *reply {
	c.t.Helper()
	req, err := http.NewRequest("POST", c.base+"/api2/json"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	req.Header.Set("Content-Type", contentType)
	return c.send(req)
}
