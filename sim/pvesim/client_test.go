package pvesim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// homelab is the world of most tests.
func homelab(t *testing.T) World {
	t.Helper()
	return loadWorld(t, "../../testdata/worlds/homelab.yaml")
}

func loadWorld(t *testing.T, path string) World {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	world, err := LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	return world
}

// newSim starts a simulator without a log that ends with the test.
func newSim(t *testing.T, world World, options ...Option) *Sim {
	t.Helper()
	sim, err := New(world, append([]Option{WithLog(func(string, ...any) {})}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	return sim
}

// client sends requests to a simulator as one identity, with any transport.
type client struct {
	t      *testing.T
	base   string
	http   *http.Client
	header http.Header
}

// as returns a client in the simulator's own process.
func (s *Sim) as(t *testing.T, token string) *client {
	c := &client{t: t, base: "http://pve.example", http: &http.Client{Transport: s.Transport()}, header: http.Header{}}
	if token != "" {
		c.header.Set("Authorization", "PVEAPIToken="+token)
	}
	return c
}

const (
	engineToken = "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111"
	weakToken   = "gpuworker@pve!weak=22222222-2222-4222-8222-222222222222"
	auditToken  = "gpuworker@pve!audit=33333333-3333-4333-8333-333333333333"
)

// asRoot returns a client with a ticket of root@pam.
func (s *Sim) asRoot(t *testing.T, password string) *client {
	t.Helper()
	c := s.as(t, "")
	got := c.do("POST", "/access/ticket", "username", "root@pam", "password", password)
	data := got.object()
	c.header.Set("Cookie", "PVEAuthCookie="+url.QueryEscape(data["ticket"].(string)))
	c.header.Set("CSRFPreventionToken", data["CSRFPreventionToken"].(string))
	return c
}

// reply is an answer as received by a client.
type reply struct {
	t      *testing.T
	code   int
	reason string
	header http.Header
	body   string
	err    error
	data   any
	errors map[string]any
	total  any
}

// do makes a call; fields are names and values, for POST and PUT in the body,
// otherwise in the query.
func (c *client) do(method, path string, fields ...string) *reply {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	target := c.base + "/api2/json" + path
	var body io.Reader
	if method == "POST" || method == "PUT" {
		body = strings.NewReader(form.Encode())
	} else if len(form) > 0 {
		target += "?" + form.Encode()
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return c.send(req)
}

// behind makes a call without waiting for its answer.
func (c *client) behind(method, path string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.base+"/api2/json"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	go func() {
		if resp, err := c.http.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
}

func (c *client) send(req *http.Request) *reply {
	c.t.Helper()
	resp, err := c.http.Do(req)
	if err != nil {
		return &reply{t: c.t, err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	r := &reply{t: c.t, code: resp.StatusCode, header: resp.Header, body: string(raw), err: err}
	_, r.reason, _ = strings.Cut(resp.Status, " ")
	var envelope struct {
		Data   any            `json:"data"`
		Errors map[string]any `json:"errors"`
		Total  any            `json:"total"`
	}
	if json.Unmarshal(raw, &envelope) == nil {
		r.data, r.errors, r.total = envelope.Data, envelope.Errors, envelope.Total
	}
	return r
}

// ok fails the test unless the call succeeded.
func (r *reply) ok() *reply {
	r.t.Helper()
	if r.err != nil || r.code != 200 {
		r.t.Fatalf("got %d %s (%v) %s", r.code, r.reason, r.err, r.body)
	}
	return r
}

// refused fails the test unless the call was refused with this text.
func (r *reply) refused(code int, reason string) *reply {
	r.t.Helper()
	if r.err != nil || r.code != code || r.reason != reason {
		r.t.Fatalf("got %d %q (%v), want %d %q", r.code, r.reason, r.err, code, reason)
	}
	return r
}

func (r *reply) object() map[string]any {
	r.t.Helper()
	object, ok := r.ok().data.(map[string]any)
	if !ok {
		r.t.Fatalf("no object: %s", r.body)
	}
	return object
}

func (r *reply) list() []any {
	r.t.Helper()
	list, ok := r.ok().data.([]any)
	if !ok {
		r.t.Fatalf("no list: %s", r.body)
	}
	return list
}

// task waits for the end of the task that the call started.
func (c *client) task(r *reply) (exit string, log []string) {
	c.t.Helper()
	upid, ok := r.ok().data.(string)
	if !ok || !strings.HasPrefix(upid, "UPID:") {
		c.t.Fatalf("not a task: %s", r.body)
	}
	path := "/nodes/" + strings.Split(upid, ":")[1] + "/tasks/" + url.PathEscape(upid)
	for range 10000 {
		// First, since a task that ends at once would race with the question.
		pause(c.t, 97*time.Millisecond)
		status := c.do("GET", path+"/status").object()
		if status["status"] == "stopped" {
			for _, line := range c.do("GET", path+"/log", "limit", "0").list() {
				log = append(log, line.(map[string]any)["t"].(string))
			}
			return status["exitstatus"].(string), log
		}
	}
	c.t.Fatal("the task does not end")
	return "", nil
}

// pause waits for a simulated time; in a synctest bubble this takes no real time.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// done fails the test unless the call's task ended with this exit status.
func (c *client) done(r *reply, exit string) []string {
	c.t.Helper()
	got, log := c.task(r)
	if got != exit {
		c.t.Fatalf("the task ended with %q, want %q\n%s", got, exit, strings.Join(log, "\n"))
	}
	return log
}

// play runs a scenario in a synctest bubble, where waiting takes no real time.
func play(t *testing.T, scenario func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, scenario)
}

// qemu is the path of a VM, or of a call on it.
func qemu(host string, vmid int, rest ...string) string {
	return fmt.Sprintf("/nodes/%s/qemu/%d%s", host, vmid, strings.Join(rest, ""))
}
