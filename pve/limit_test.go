package pve

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is a server that answers only after a certain number of requests have arrived,
// and counts the concurrent requests.
type crowd struct {
	full  int
	there chan struct{} // closed when they are

	mu          sync.Mutex
	now, most   map[string]int // by what is counted
	connections int
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/nodes/")
	node, _, _ := strings.Cut(rest, "/")
	counted := []string{"all", "node " + node}
	c.mu.Lock()
	for _, what := range counted {
		c.now[what]++
		c.most[what] = max(c.most[what], c.now[what])
	}
	if c.now["all"] == c.full {
		c.full = 0
		close(c.there)
	}
	c.mu.Unlock()
	<-c.there
	c.mu.Lock()
	for _, what := range counted {
		c.now[what]--
	}
	c.mu.Unlock()
	_, _ = io.WriteString(w, `{"data":null}`)
}

func (c *crowd) connection(_ net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew {
		c.connections++
	}
}

func (c *crowd) client(t *testing.T, limit *Limit) *Client {
	t.Helper()
	c.there = make(chan struct{})
	c.now, c.most = map[string]int{}, map[string]int{}
	server := httptest.NewUnstartedServer(c)
	server.Config.ConnState = c.connection
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := New(Options{Endpoint: server.URL, Token: testToken, Limit: limit, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// all sends one call for each VM of each node at once, over real connections.
func (c *crowd) all(t *testing.T, client *Client, nodes, vms int, call func(node string, vmid int) error) {
	t.Helper()
	var group sync.WaitGroup
	for i := range nodes * vms {
		group.Go(func() {
			if err := call(fmt.Sprint("pve", i/vms), 100+i%vms); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// TestNeverMoreConcurrentRequestsThanTheLimit sends 30 requests to each of eight nodes
// at once. The server waits until 24 have arrived, so the limit is reached. The number
// of connections must not exceed it, and the connections must be kept.
func TestNeverMoreConcurrentRequestsThanTheLimit(t *testing.T) {
	c := &crowd{full: 24}
	client := c.client(t, NewLimit(24, 3))
	c.all(t, client, 8, 30, func(node string, vmid int) error {
		return client.do(t.Context(), get("/nodes/{}/qemu/{}/pending", node, vmid).at(node, vmid), nil)
	})
	if c.most["all"] != 24 || c.connections != 24 {
		t.Errorf("%d at once, over %d connections, want 24 and 24", c.most["all"], c.connections)
	}
	for what, most := range c.most {
		if strings.HasPrefix(what, "node") && most > 3 {
			t.Errorf("%d at once about %s", most, what)
		}
	}
}

// TestOneAgentCallAtATimeOnEachNode: ten calls to guests without an agent take 3 s
// each, one after the other, and other requests to the node do not wait for them.
func TestOneAgentCallAtATimeOnEachNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/agent/") {
				time.Sleep(3 * time.Second)
			}
			return (&server{answer: inTurn(says(`{"result":[]}`))}).RoundTrip(r)
		}
		c, _ := inProcess(t, nil, through(silent), func(o *Options) { o.Limit = NewLimit(24, 3) })
		start := time.Now()
		var group sync.WaitGroup
		for vmid := range 10 {
			group.Go(func() {
				if _, err := c.AgentNetworkInterfaces(t.Context(), "pve1", 100+vmid); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		err := c.do(t.Context(), get("/nodes/{}/qemu/{}/pending", "pve1", 100).at("pve1", 100), nil)
		if took := time.Since(start); err != nil || took != 0 {
			t.Errorf("after %v: %v", took, err)
		}
		group.Wait()
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("ten agents took %v", took)
		}
	})
}

// TestWaitingForATurn: waiting does not count towards the timeout, ends with the
// context, and then leaves no turn taken.
func TestWaitingForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := NewLimit(1, 1)
		slow := func(r *http.Request) (*http.Response, error) {
			time.Sleep(30 * time.Second)
			return (&server{answer: inTurn(says(`{"version":"9.1.4"}`))}).RoundTrip(r)
		}
		c, _ := inProcess(t, nil, through(slow), func(o *Options) { o.Limit = limit })
		other, _ := inProcess(t, nil, through(slow), func(o *Options) { o.Limit = limit })
		start := time.Now()
		var group sync.WaitGroup
		for _, client := range []*Client{c, other, c} {
			group.Go(func() {
				if _, err := client.Version(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Version(ctx)
		if e := mustError(t, err); e.Kind != Canceled || e.Ambiguous {
			t.Errorf("%s: %v", e.Kind, e)
		}
		group.Wait()
		if took := time.Since(start); took != 90*time.Second {
			t.Errorf("three requests of 30 s took %v", took)
		}
	})
}
