package pvesim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is an answer to a client, with the reason phrase.
type answer struct {
	status int
	reason string
	header http.Header
	body   []byte
	// connection are the Connection headers of an answer after which the
	// connection stays open.
	connection []string
	close      bool
	// drop ends the connection without an answer.
	drop bool
	// cut closes the connection after the body, which is shorter than declared.
	cut bool
}

// inbound is a request as read from any transport.
type inbound struct {
	ctx     context.Context // does not end when the client leaves
	gone    <-chan struct{} // closed when the client leaves
	method  string
	path    string // decoded
	host    string
	query   string // raw
	header  http.Header
	body    *body
	chunked bool
}

// ServeHTTP answers one request. For errors it hijacks the connection, because net/http
// cannot write the reason phrases of the real API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := newBody(r.Body, r.ContentLength)
	a := s.respond(inbound{
		ctx: context.WithoutCancel(r.Context()), gone: r.Context().Done(), method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, host: r.Host, header: r.Header, body: body,
		chunked: len(r.TransferEncoding) > 0,
	})
	if s.lastRequest(r.RemoteAddr) || r.Close {
		a.close = true
	}
	a.write(w, body.left > 0)
}

// write sends the answer over a real connection. If a part of the request was not read,
// the connection is closed after a short while, not at once.
func (a *answer) write(w http.ResponseWriter, unread bool) {
	plain := a.status == http.StatusOK && !a.cut && !a.drop
	hijacker, can := w.(http.Hijacker)
	if plain || !can {
		for name, values := range a.header {
			w.Header()[name] = values
		}
		for _, value := range a.connectionHeaders() {
			if value == "close" && !a.close {
				// With exactly "close", net/http would close the connection. The blank is not sent.
				value += " "
			}
			w.Header().Add("Connection", value)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		w.Write(a.body)
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if !a.drop {
		// An error means that the client has left.
		_, _ = conn.Write(a.wire())
		if unread {
			linger(conn)
		}
	}
}

// linger reads a little of the data that a client is still sending, so that the client
// receives the answer before the end of the connection.
func linger(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, conn, 1<<20)
}

// connectionHeaders are the Connection headers of an answer.
func (a *answer) connectionHeaders() []string {
	if a.close || a.status != http.StatusOK || a.cut {
		return []string{"close"}
	}
	return a.connection
}

// wire is the raw answer for a connection that is closed after it.
func (a *answer) wire() []byte {
	length := len(a.body)
	if a.cut {
		length *= 2
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.status, firstLine(a.reason))
	fmt.Fprintf(&b, "Connection: close\r\nContent-Length: %d\r\n", length)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, value := range a.header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	b.WriteString("\r\n")
	b.Write(a.body)
	return b.Bytes()
}

// Transport returns a transport to the simulator without a network, with the same
// answers and status lines as over a connection. It works inside testing/synctest
// bubbles. When a request's context ends, the caller gets its error at once, but the
// simulator still carries out the request, like a real server.
func (s *Sim) Transport() http.RoundTripper { return (*inProcess)(s) }

type inProcess Sim

func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	s := (*Sim)(t)
	in := inbound{ctx: context.WithoutCancel(r.Context()), gone: r.Context().Done(), method: r.Method, path: r.URL.Path,
		query: r.URL.RawQuery, host: r.URL.Host, header: r.Header.Clone(), body: newBody(nil, 0)}
	if r.Body != nil {
		defer r.Body.Close()
		// Without a limit, because this process made it.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		in.body = newBody(bytes.NewReader(body), int64(len(body)))
		in.chunked = r.ContentLength <= 0 && len(body) > 0
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	done := make(chan *answer, 1)
	if !s.spawn(func() { done <- s.respond(in) }) {
		return nil, io.EOF
	}
	select {
	case a := <-done:
		return a.response(r)
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

// response is the answer as received by a client.
func (a *answer) response(r *http.Request) (*http.Response, error) {
	if a.drop {
		return nil, io.EOF
	}
	var body io.Reader = bytes.NewReader(a.body)
	if a.cut {
		body = io.MultiReader(body, brokenReader{})
	}
	header := a.header.Clone()
	connection := a.connectionHeaders()
	closes := strings.HasPrefix(connection[0], "close")
	if !closes {
		header["Connection"] = connection // net/http hides the others
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.status, firstLine(a.reason)), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(body), ContentLength: int64(len(a.body)),
		Close: closes, Request: r,
	}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func newAnswer(status int, reason string) *answer {
	a := &answer{status: status, reason: reason, header: http.Header{}, close: status != http.StatusOK}
	a.header.Set("Server", "pve-api-daemon/3.0")
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	a.header.Set("Pragma", "no-cache")
	a.header.Set("Cache-Control", "max-age=0")
	return a
}

// plainAnswer is an error that pveproxy sends before it handles the call: the text as
// body, without content type.
func plainAnswer(status int, text string, body bool) *answer {
	a := newAnswer(status, text)
	if body {
		a.body = []byte(text)
	}
	// An explicit nil prevents net/http from detecting a type.
	a.header["Content-Type"] = nil
	return a
}

func jsonAnswer(status int, reason string, value any) *answer {
	a := newAnswer(status, reason)
	a.header.Set("Content-Type", "application/json;charset=UTF-8")
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return plainAnswer(500, "simulator: cannot write the answer: "+err.Error(), true)
	}
	a.body = bytes.TrimRight(b.Bytes(), "\n")
	return a
}

// listing is data with a total, as in task lists and logs.
type listing struct {
	data  any
	total int
}

// download is an answer that is not JSON.
type download string

// success is the 200 of a call.
func success(data any, format string) *answer {
	if text, ok := data.(download); ok {
		a := plainAnswer(200, "OK", false)
		a.header.Set("Content-Type", "text/plain")
		a.body = []byte(text)
		return a
	}
	body := map[string]any{"data": data}
	if l, ok := data.(listing); ok {
		body["data"], body["total"] = l.data, l.total
	}
	if format == "extjs" {
		body["success"] = 1
	}
	return jsonAnswer(200, "OK", body)
}

// failure is the answer of a refused call.
func (s *Sim) failure(err *apiError, format string) *answer {
	if err.bare {
		return plainAnswer(err.status, err.reason, false)
	}
	message := err.reason + "\n"
	if err.status == 501 {
		message = err.reason
	}
	body := map[string]any{"data": nil, "message": message}
	if err.fields != nil {
		body["errors"] = err.fields
	}
	if format != "extjs" {
		if s.httpServer.before(5, 2, 0) {
			delete(body, "message")
		}
		return jsonAnswer(err.status, err.reason, body)
	}
	body["success"], body["status"] = 0, any(err.status)
	if err.status == 400 {
		body["status"] = "400"
	}
	return jsonAnswer(200, "OK", body)
}

// segments splits a path into its parts; double and trailing slashes are ignored.
func segments(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
