package pve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// through makes the client use a transport.
func through(f roundTripper) func(*Options) { return func(o *Options) { o.Transport = f } }

// hangs is a server that takes requests and never answers.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

var refused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

func TestReadsAreRepeatedAndWritesAreNot(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func(*Client) error{
		"GET":    func(c *Client) error { _, err := c.Nodes(ctx); return err },
		"PUT":    func(c *Client) error { return c.UpdateMapping(ctx, MappingUpdate{ID: "m", Map: []string{"x"}}) },
		"POST":   func(c *Client) error { _, err := c.Clone(ctx, "pve1", 9000, CloneOptions{NewID: 9105}); return err },
		"DELETE": func(c *Client) error { _, err := c.Destroy(ctx, "pve1", 101, DestroyOptions{}); return err },
	}
	tests := []struct {
		name      string
		reply     reply // the zero reply breaks the connection
		reads     int   // how often a read is sent
		ambiguous bool  // of a write
	}{
		{"a broken connection", reply{}, 3, true},
		{"no route to the node", dies(595, "No route to host"), 3, false},
		{"a broken connection to the node", dies(596, "Broken pipe"), 3, true},
		{"no answer from the node", dies(599, "Connection timed out"), 3, true},
		{"a proxy without a server", dies(502, "Bad Gateway"), 3, true},
		{"a proxy that is busy", dies(503, "Service Unavailable"), 3, true},
		{"a plain 500", dies(500, "got no worker upid - start worker failed"), 1, false},
		{"a lock", dies(500, "VM is locked (clone)"), 1, false},
		{"a missing privilege", dies(403, "Permission check failed"), 1, false},
		{"a refused token", dies(401, "Authentication failed!"), 1, false},
		{"a missing call", dies(501, "Method 'GET /x' not implemented"), 1, false},
	}
	for _, tt := range tests {
		for method, call := range calls {
			t.Run(tt.name+"/"+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, s := inProcess(t, inTurn(tt.reply))
					e := mustError(t, call(c))
					want, ambiguous := 1, tt.ambiguous
					if method == "GET" {
						want, ambiguous = tt.reads, false
					}
					if got := len(s.requests()); got != want {
						t.Errorf("sent %d times, want %d", got, want)
					}
					if e.Ambiguous != ambiguous {
						t.Errorf("ambiguous %v, want %v: %v", e.Ambiguous, ambiguous, e)
					}
				})
			})
		}
	}
}

func TestAReadSucceedsWhenTheFaultPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var log lockedBuffer
		c, s := inProcess(t, inTurn(dies(596, "Broken pipe"), reply{}, says(`{"version":"9.1.4"}`)), logInto(&log))
		v, err := c.Version(t.Context())
		if err != nil || v.Version != "9.1.4" {
			t.Fatalf("%v, %v", v, err)
		}
		if got := len(s.requests()); got != 3 {
			t.Errorf("asked %d times", got)
		}
		if took := time.Since(start); took < time.Second || took > 2*time.Second {
			t.Errorf("paused for %v, want about 0.5 s and 1 s", took)
		}
		mustContain(t, log.String(), "attempt=2", "attempt=3")
	})
}

func TestThePauseBetweenTriesEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		c, s := inProcess(t, inTurn(dies(596, "Broken pipe")))
		_, err := c.Nodes(ctx)
		e := mustError(t, err)
		mustContain(t, e.Error(), "canceled while waiting to retry, after: Broken pipe")
		if e.Kind != Canceled || !errors.Is(err, context.DeadlineExceeded) || len(s.requests()) != 1 {
			t.Errorf("kind %s, %d requests: %v", e.Kind, len(s.requests()), err)
		}
	})
}

func TestAHangingConnectionEndsWithAClearError(t *testing.T) {
	tests := []struct {
		name      string
		do        func(context.Context, *Client) error
		after     time.Duration
		ambiguous bool
	}{
		{"a read of the cluster after a minute", func(ctx context.Context, c *Client) error { _, err := c.Resources(ctx, ""); return err }, time.Minute, false},
		{"a read of a node after 35 s", func(ctx context.Context, c *Client) error { _, err := c.NodeStatus(ctx, "pve2"); return err }, 35 * time.Second, false},
		{"a write after 35 s, and it may have been carried out", func(ctx context.Context, c *Client) error { _, err := c.Start(ctx, "pve2", 101, 0); return err }, 35 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				c, _ := inProcess(t, nil, through(hangs))
				e := mustError(t, tt.do(t.Context(), c))
				mustContain(t, e.Error(), "no answer within "+tt.after.String())
				if e.Kind != Unavailable || e.Ambiguous != tt.ambiguous || time.Since(start) != tt.after || errors.Is(e, context.Canceled) {
					t.Errorf("kind %s, ambiguous %v, after %v: %v", e.Kind, e.Ambiguous, time.Since(start), e)
				}
			})
		})
	}
}

func TestTheCallersContextEndsACall(t *testing.T) {
	t.Run("while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, _ := inProcess(t, nil, through(hangs))
			err := c.DeleteMapping(ctx, "m")
			e := mustError(t, err)
			if e.Kind != Canceled || !e.Ambiguous || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("kind %s, ambiguous %v: %v", e.Kind, e.Ambiguous, err)
			}
		})
	})
	t.Run("before it is sent", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c, s := inProcess(t, inTurn(says(null)))
		err := c.DeleteMapping(ctx, "m")
		e := mustError(t, err)
		if e.Kind != Canceled || e.Ambiguous || !errors.Is(err, context.Canceled) || len(s.requests()) != 0 {
			t.Errorf("kind %s, ambiguous %v, sent %q", e.Kind, e.Ambiguous, s.requests())
		}
	})
}

func TestAWriteThatNeverLeftIsNotAmbiguous(t *testing.T) {
	t.Run("over a transport that says so", func(t *testing.T) {
		c, _ := inProcess(t, nil, through(func(*http.Request) (*http.Response, error) { return nil, refused }))
		e := mustError(t, c.DeleteMapping(context.Background(), "m"))
		if e.Kind != Unavailable || e.Ambiguous || !errors.Is(e, syscall.ECONNREFUSED) {
			t.Errorf("kind %s, ambiguous %v: %v", e.Kind, e.Ambiguous, e)
		}
	})
	t.Run("over a transport that does not trust the server", func(t *testing.T) {
		c, _ := inProcess(t, nil, through(func(*http.Request) (*http.Response, error) {
			return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
		}))
		e := mustError(t, c.DeleteMapping(context.Background(), "m"))
		mustContain(t, e.Error(), "the server's certificate cannot be trusted: x509")
		if e.Kind != Untrusted || e.Ambiguous {
			t.Errorf("kind %s, ambiguous %v", e.Kind, e.Ambiguous)
		}
	})
	t.Run("over the network, to a port where nobody listens", func(t *testing.T) {
		ts := httptest.NewServer(http.NotFoundHandler())
		ts.Close()
		c, err := New(Options{Endpoint: ts.URL, Token: testToken})
		if err != nil {
			t.Fatal(err)
		}
		e := mustError(t, c.DeleteMapping(context.Background(), "m"))
		mustContain(t, e.Error(), "connection refused")
		if e.Kind != Unavailable || e.Ambiguous {
			t.Errorf("kind %s, ambiguous %v", e.Kind, e.Ambiguous)
		}
	})
}

func TestAConnectionThatBreaksDuringTheAnswer(t *testing.T) {
	tests := []struct {
		name, raw, text string
	}{
		{"before it", "", "closed the connection without an answer (EOF)"},
		{"in the status line", "HTTP/1.1 2", "connection broken"},
		{"in the headers", "HTTP/1.1 200 OK\r\nContent-Le", "connection broken"},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":", "the answer is incomplete: unexpected EOF"},
		{"with something that is not HTTP", "SSH-2.0-OpenSSH_9.6\r\n", "malformed HTTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, _ := w.(http.Hijacker).Hijack()
				_, _ = io.WriteString(conn, tt.raw)
				_ = conn.Close()
			}))
			defer ts.Close()
			c, err := New(Options{Endpoint: ts.URL, Token: testToken})
			if err != nil {
				t.Fatal(err)
			}
			e := mustError(t, c.DeleteMapping(context.Background(), "m"))
			mustContain(t, e.Error(), tt.text)
			if e.Kind != Unavailable || !e.Ambiguous {
				t.Errorf("kind %s, ambiguous %v", e.Kind, e.Ambiguous)
			}
		})
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAnAnswerWithoutEndIsRefused(t *testing.T) {
	c, _ := inProcess(t, nil, through(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Status: "200 OK", Body: io.NopCloser(endless{}), Header: http.Header{}}, nil
	}))
	_, err := c.Version(context.Background())
	e := mustError(t, err)
	mustContain(t, e.Error(), "larger than 32 MiB")
	if e.Kind != Unknown {
		t.Errorf("kind %s", e.Kind)
	}
}

func TestAStatusLineWithoutReasonGetsTheStandardOne(t *testing.T) {
	c, _ := overHTTP(t, inTurn(reply{raw: "HTTP/1.1 500 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}))
	_, err := c.Version(context.Background())
	if got, want := err.Error(), "GET /version: Internal Server Error (500)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJitterStaysNearThePause(t *testing.T) {
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := jitter(time.Second)
		low, high = min(low, d), max(high, d)
	}
	if low < 750*time.Millisecond || high > 1250*time.Millisecond || high-low < 100*time.Millisecond {
		t.Errorf("between %v and %v", low, high)
	}
}

func TestTheEndpointMayHaveAPath(t *testing.T) {
	for _, pair := range [][2]string{
		{"https://pve.test:8006", "/api2/json/version"},
		{"https://pve.test:8006/", "/api2/json/version"},
		{"https://pve.test/lab", "/lab/api2/json/version"},
		{"https://pve.test:8006/api2/json", "/api2/json/version"},
		{" https://pve.test:8006/api2/json/ ", "/api2/json/version"},
		{"https://[2001:db8::1]:8006/pve%20lab/", "/pve%20lab/api2/json/version"},
	} {
		endpoint, want := pair[0], pair[1]
		c, s := inProcess(t, inTurn(says(`{"version":"9.1.4"}`)), func(o *Options) { o.Endpoint = endpoint })
		if _, err := c.Version(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := s.asked[0].path; got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
	}
}

func TestOnlyHTTP1IsSpokenAndConnectionsAreNotKeptLong(t *testing.T) {
	transport, err := newTransport(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if transport.Protocols.HTTP2() || !transport.Protocols.HTTP1() || transport.IdleConnTimeout >= 5*time.Second {
		t.Errorf("protocols %v, idle %v", transport.Protocols, transport.IdleConnTimeout)
	}
	if strings.Contains(transport.Protocols.String(), "HTTP2") {
		t.Error(transport.Protocols)
	}
}
