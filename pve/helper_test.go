package pve

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	testToken = "ops@pve!ci=8d2f1c3a-canary-token-secret"
	testUPID  = "UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:ops@pve!ci:"
)

// reply is the raw text of an answer: net/http cannot write custom reason phrases,
// and Proxmox puts its errors there.
type reply struct {
	status int
	reason string
	body   string
	raw    string // instead of all that: written as it is
}

// says returns a successful answer with this JSON as data.
func says(data string) reply { return reply{status: 200, reason: "OK", body: `{"data":` + data + `}`} }

// dies returns an error in the form of PVE 9: with the text in the reason and in the
// body.
func dies(status int, text string) reply {
	return reply{status: status, reason: text, body: fmt.Sprintf(`{"data":null,"message":%q}`, text+"\n")}
}

func (r reply) bytes() []byte {
	if r.raw != "" {
		return []byte(r.raw)
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json;charset=UTF-8\r\n"+
		"Connection: close\r\nConnection: Keep-Alive\r\nContent-Length: %d\r\n\r\n%s", r.status, r.reason, len(r.body), r.body)
}

// seen is a request as received by the server.
type seen struct {
	method, path, query, body string
	header                    http.Header
	length                    int64
}

func (s seen) String() string {
	out := s.method + " " + s.path
	if s.query != "" {
		out += "?" + s.query
	}
	if s.body != "" {
		out += " " + s.body
	}
	return out
}

// server answers with raw bytes and records the requests. It can be used by real
// sockets and by an in-process transport.
type server struct {
	mu     sync.Mutex
	asked  []seen
	answer func(n int, s seen) reply // n counts from 1
}

// inTurn returns the answers one after the other, and then always the last one.
func inTurn(replies ...reply) func(int, seen) reply {
	return func(n int, _ seen) reply { return replies[min(n, len(replies))-1] }
}

func (s *server) take(r *http.Request) reply {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := seen{
		method: r.Method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, body: string(body),
		header: r.Header.Clone(), length: r.ContentLength,
	}
	s.asked = append(s.asked, one)
	return s.answer(len(s.asked), one)
}

// ServeHTTP answers on a real socket.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := s.take(r)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = conn.Write(reply.bytes())
	_ = conn.Close()
}

// RoundTrip answers in process, so that tests can run in a synctest bubble.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	reply := s.take(r)
	if reply.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", reply.status, reply.reason),
		StatusCode: reply.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(reply.body)), Request: r,
	}, nil
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, len(s.asked))
	for i, one := range s.asked {
		list[i] = one.String()
	}
	return list
}

// overHTTP returns a client that talks to the server over real sockets.
func overHTTP(t *testing.T, answer func(int, seen) reply) (*Client, *server) {
	t.Helper()
	s := &server{answer: answer}
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	c, err := New(Options{Endpoint: ts.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// inProcess returns a client that talks to the server without sockets.
func inProcess(t *testing.T, answer func(int, seen) reply, more ...func(*Options)) (*Client, *server) {
	t.Helper()
	s := &server{answer: answer}
	o := Options{Endpoint: "https://pve.test:8006", Token: testToken, Transport: s}
	for _, f := range more {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// withPassword makes the client log in with a ticket.
func withPassword(o *Options) {
	o.Token, o.Username, o.Password = "", "root@pam", "canary-password"
}

// logInto collects the client's log.
func logInto(b *lockedBuffer) func(*Options) {
	return func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// mustError returns the *Error, which is the type of all errors of this package.
func mustError(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := asError(err)
	if !ok {
		t.Fatalf("want an *Error, got %T: %v", err, err)
	}
	return e
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q should contain %q", text, part)
		}
	}
}
