package pve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one call of the API before it is an HTTP request.
type call struct {
	method string
	path   string // below /api2/json; segments are escaped
	query  url.Values
	form   url.Values
	upload *upload // instead of a form
	// inJSON sends the form as JSON, which has no escapes for most characters: an old
	// server accepts 64 KiB.
	inJSON bool

	node    string
	vmid    int
	header  http.Header // of the login
	secrets []string    // values of this call that must not appear in any output
	clones  bool        // it creates a VM, so Locked may mean that the id is in use
	bad     string      // why the call cannot be sent

	repeated int // number of earlier attempts
}

// retry returns a copy of the call for the next attempt.
func (c *call) retry() *call {
	next := *c
	next.repeated++
	return &next
}

// answer is the complete answer of the server.
type answer struct {
	status   int
	reason   string // the reason phrase of the status line
	location string // target of a redirect
	body     []byte
}

// handler carries out a call. The chain of handlers is built in New; each adds
// one thing and calls the next.
type handler func(context.Context, *call) (*answer, error)

// reads reports whether the call is a read, which may be retried.
func (c *call) reads() bool { return c.method == http.MethodGet }

// fail returns an error of this call.
func (c *call) fail(kind Kind, message string, cause error) *Error {
	return &Error{
		Kind: kind, Method: c.method, Path: c.shownPath(), Node: c.node, VMID: c.vmid,
		Message: message, Cause: cause,
	}
}

// shownPath is the path for display.
func (c *call) shownPath() string {
	if p, err := url.PathUnescape(c.path); err == nil {
		return p
	}
	return c.path
}

// request builds the HTTP request. Parameters of GET and DELETE go into the query,
// because the server answers a body with 501. A body always has a Content-Length,
// because the server answers chunked bodies with 501 too.
func (c *call) request(ctx context.Context, base string) (*http.Request, error) {
	address := base + c.path
	if len(c.query) > 0 {
		address += "?" + escapeSpaces(c.query.Encode()) // escapes ";" too, because the server splits there
	}
	var body io.Reader
	contentType := "application/x-www-form-urlencoded"
	switch {
	case c.upload != nil:
		contentType = c.upload.contentType
	case c.inJSON:
		contentType = "application/json"
		object := map[string]string{}
		for name := range c.form {
			object[name] = c.form.Get(name)
		}
		text, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	case c.method == http.MethodPost || c.method == http.MethodPut:
		body = strings.NewReader(escapeSpaces(c.form.Encode()))
	default:
		contentType = ""
	}
	req, err := http.NewRequestWithContext(ctx, c.method, address, body)
	if err != nil {
		return nil, err
	}
	if c.upload != nil {
		req.Body, req.ContentLength = io.NopCloser(c.upload.body), c.upload.length
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	return req, nil
}

// nodeTimeout is a little longer than the 30 s after which pveproxy stops waiting for
// another node, so that its answer (596 or 599) is received.
const nodeTimeout = 35 * time.Second

const defaultTimeout = 60 * time.Second

// timeout is the timeout of one attempt; for an upload, the maximum time without
// progress.
func (c *call) timeout() time.Duration {
	if c.node != "" && c.upload == nil {
		return nodeTimeout
	}
	return defaultTimeout
}

// get, post, put and del create a call; at and with… complete it.
func get(path string, segments ...any) *call  { return newCall(http.MethodGet, path, segments) }
func post(path string, segments ...any) *call { return newCall(http.MethodPost, path, segments) }
func put(path string, segments ...any) *call  { return newCall(http.MethodPut, path, segments) }
func del(path string, segments ...any) *call  { return newCall(http.MethodDelete, path, segments) }

// slashed is a segment whose slashes are not escaped, such as the name of a volume,
// "local:iso/debian-13.iso".
type slashed string

// newCall fills the {} of a path with escaped segments.
func newCall(method, path string, segments []any) *call {
	c := &call{method: method, query: url.Values{}, form: url.Values{}}
	for _, s := range segments {
		parts := []string{fmt.Sprint(s)}
		if _, ok := s.(slashed); ok {
			parts = strings.Split(parts[0], "/")
		}
		for i, part := range parts {
			if part == "" || part == "." || part == ".." {
				c.bad = fmt.Sprintf("%q cannot be part of a path", s)
			}
			parts[i] = url.PathEscape(part)
		}
		path = strings.Replace(path, "{}", strings.Join(parts, "/"), 1)
	}
	c.path = path
	return c
}

// at sets the node and VM of the call; vmid is 0 for none.
func (c *call) at(node string, vmid int) *call {
	c.node, c.vmid = node, vmid
	return c
}

// params returns the query or the form, whichever the method uses.
func (c *call) params() url.Values {
	if c.method == http.MethodGet || c.method == http.MethodDelete {
		return c.query
	}
	return c.form
}

// with adds a parameter, unless it is empty.
func (c *call) with(name, value string) *call {
	if value != "" {
		c.params().Add(name, value)
	}
	return c
}

func (c *call) withInt(name string, n int) *call {
	if n == 0 {
		return c
	}
	return c.with(name, strconv.Itoa(n))
}

func (c *call) withFlag(name string, set bool) *call {
	if !set {
		return c
	}
	return c.with(name, "1")
}

// withSeconds adds a duration, rounded up to whole seconds.
func (c *call) withSeconds(name string, d time.Duration) *call {
	return c.withInt(name, int((d+time.Second-1)/time.Second))
}
