package pvesim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// inVersion is the homelab with another version of Proxmox VE, whose roles have the
// privileges of that version.
func inVersion(t *testing.T, version string) World {
	t.Helper()
	world := homelab(t)
	world.Version = version
	for name, privs := range world.Roles {
		var kept []string
		for _, priv := range privs {
			if !strings.HasPrefix(priv, "VM.GuestAgent.") {
				kept = append(kept, priv)
			}
		}
		world.Roles[name] = kept
	}
	return world
}

func TestErrorsAndFormsDifferByVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		version, httpServer string
		message             bool
		limit               int // KiB of a form
	}{
		"9.1 has messages and takes half a MiB":                    {"9.1.4", "", true, 512},
		"8.4 as well":                                              {"8.4.1", "", true, 512},
		"8.4 that was not updated has no messages":                 {"8.4.1", "5.1.2", false, 64},
		"8.3 has neither":                                          {"8.3.0", "", false, 64},
		"a web server between the two has messages and 64 KiB":     {"8.3.0", "5.2.0", true, 64},
		"a web server of its own version is what counts, also 9's": {"9.0.3", "5.2.0", true, 64},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				world := inVersion(t, tc.version)
				world.HTTPServer = tc.httpServer
				sim := newSim(t, world)
				root := sim.asRoot(t, rootPass)
				const gone = "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"
				got := root.do("GET", qemu("pve1", 999, "/config")).refused(500, gone)
				if strings.Contains(got.body, gone) != tc.message {
					t.Errorf("the body is %s", got.body)
				}
				got = root.do("GET", "/version", "bogus", "1").refused(400, "Parameter verification failed.")
				if got.errors["bogus"] == nil || strings.Contains(got.body, "message") != tc.message {
					t.Errorf("the body of a 400 is %s", got.body)
				}
				form := func(kib int) *reply {
					return root.do("PUT", qemu("pve1", 999, "/config"), "description", strings.Repeat("x", kib<<10-20))
				}
				if got := form(tc.limit); got.code == 501 {
					t.Errorf("a form of %d KiB: %s", tc.limit, got.reason)
				}
				form(tc.limit+1).refused(501, "for data too large")
			})
		})
	}
}

func TestADriverOfADeviceIsKnownSince91(t *testing.T) {
	for version, taken := range map[string]bool{"8.4.1": false, "9.0.10": false, "9.1.4": true, "9.2.11": true} {
		play(t, func(t *testing.T) {
			sim := newSim(t, inVersion(t, version))
			got := sim.asRoot(t, rootPass).do("PUT", qemu("pve1", 100, "/config"), "hostpci0", "0000:03:00.0,driver=keep")
			if (got.code == 200) != taken || !taken && got.errors["hostpci0"] == nil {
				t.Errorf("%s: %d %s", version, got.code, got.body)
			}
		})
	}
}

// withHeaders is a request with this number of headers of this size, besides those that
// every client sends.
func withHeaders(c *client, count, size int) *reply {
	c.t.Helper()
	req, err := http.NewRequest("GET", c.base+"/api2/json/version", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	for i := range count {
		req.Header.Set(fmt.Sprint("X-Filler-", i), strings.Repeat("x", size))
	}
	return c.send(req)
}

func TestHeadersHaveLimitsAtWhichNothingIsAnswered(t *testing.T) {
	play(t, func(t *testing.T) {
		c := newSim(t, homelab(t)).as(t, engineToken)
		withHeaders(c, 50, 10).ok()
		withHeaders(c, 10, 700).ok()
		for name, got := range map[string]func() *reply{
			"64 lines": func() *reply { return withHeaders(c, 64, 1) },
			"8 KiB":    func() *reply { return withHeaders(c, 2, 4096) },
		} {
			began := time.Now()
			if got := got(); got.err == nil {
				t.Errorf("%s: %d %s", name, got.code, got.reason)
			}
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("%s: the connection ended after %v, want 5 s", name, took)
			}
		}
	})
}

// pipes is an in-memory network for synctest bubbles.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8006}
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.conns <- lingering{far}
	return near, nil
}

// lingering is the server's end of a connection. While the server closes, a real network
// still accepts data from the client. A pipe does not, so that the client would get an
// error instead of the answer.
type lingering struct{ net.Conn }

func (l lingering) Close() error {
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = io.Copy(io.Discard, l.Conn)
	return l.Conn.Close()
}

// overHTTP serves the simulator on in-memory connections: the clients read the same bytes
// as from a network.
func (s *Sim) overHTTP(t *testing.T, clients ...*client) {
	t.Helper()
	network := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := s.Server()
	go server.Serve(network)
	wire := &http.Transport{DialContext: network.dial, IdleConnTimeout: 4 * time.Second}
	for _, c := range clients {
		c.http = &http.Client{Transport: wire}
	}
	t.Cleanup(func() {
		s.Close()
		wire.CloseIdleConnections()
		_ = server.Close()
	})
}

func TestAConnectionIsClosedAfterFiveIdleSeconds(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		network := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := sim.Server()
		go server.Serve(network)
		defer server.Close()
		conn, err := network.dial(context.Background(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ask := func() error {
			go fmt.Fprintf(conn, "GET /api2/json/version HTTP/1.1\r\nHost: pve1\r\nAuthorization: PVEAPIToken=%s\r\n\r\n", engineToken)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			return err
		}
		for range 3 {
			if err := ask(); err != nil {
				t.Fatalf("a busy connection: %v", err)
			}
			pause(t, 4*time.Second)
		}
		pause(t, 2*time.Second)
		if err := ask(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after six idle seconds: %v, want the end of the connection", err)
		}
	})
}

func TestAConnectionCarriesAHundredRequests(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	server := httptest.NewUnstartedServer(sim)
	server.Config = sim.Server()
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i := 1; i <= 100; i++ {
		fmt.Fprintf(conn, "GET /api2/json/version HTTP/1.1\r\nHost: pve1\r\nAuthorization: PVEAPIToken=%s\r\n\r\n", engineToken)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		if resp.Close != (i == 100) {
			t.Fatalf("request %d: the connection ends with it: %v", i, resp.Close)
		}
	}
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after a hundred requests: %v, want the end of the connection", err)
	}
}

func TestAgentsThatHangStarveTheOthers(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Workers = 3
		withVM(100, func(v *VM) { v.Guest.Slow = Duration(time.Minute) })(&world)
		sim := newSim(t, world)
		engine := sim.as(t, engineToken)
		for range 6 {
			engine.behind("POST", qemu("pve1", 100, "/agent/ping"))
		}
		pause(t, time.Second)
		began := time.Now()
		engine.do("GET", qemu("pve1", 100, "/status/current")).ok()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("a look at a VM took %v; six pings of three seconds are before it, three at a time", took)
		}
		// Other hosts have workers of their own, and what needs no privileged
		// daemon waits for none.
		for range 6 {
			engine.behind("POST", qemu("pve1", 100, "/agent/ping"))
		}
		pause(t, time.Second)
		began = time.Now()
		engine.do("GET", qemu("pve2", 204, "/status/current")).ok()
		engine.do("GET", qemu("pve1", 100, "/config")).ok()
		if took := time.Since(began); took != 0 {
			t.Errorf("calls elsewhere took %v", took)
		}
		pause(t, time.Minute)
	})
}
