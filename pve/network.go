package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody is the maximum size of an answer. The largest real ones, the resource list
// of a big cluster and task logs, have a few MiB.
const maxBody = 32 << 20

// network is the innermost handler: one request, one answer.
type network struct {
	base      string
	transport http.RoundTripper
	own       bool // the transport is that of newTransport, which supports httptrace
	agent     string
}

var (
	errNoAnswer = errors.New("no answer in time")
	errTooLarge = fmt.Errorf("the answer is larger than %d MiB: this is not a Proxmox VE API", maxBody>>20)
)

// send sends a call and reads the whole answer. It does not follow redirects: the API
// has none, and following one would repeat a write.
func (n *network) send(ctx context.Context, c *call) (*answer, error) {
	if ctx.Err() != nil {
		return nil, c.fail(Canceled, "canceled before it was sent: "+ctx.Err().Error(), ctx.Err())
	}
	limit := c.timeout()
	tryCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(errNoAnswer) })
	defer timer.Stop()
	if c.upload != nil {
		c.upload.moved = func() { timer.Reset(limit) }
	}

	var connected atomic.Bool
	req, err := c.request(httptrace.WithClientTrace(tryCtx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), n.base)
	if err != nil {
		return nil, c.invalid(err.Error())
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", n.agent)

	a, err := roundTrip(n.transport, req)
	if err == nil {
		return a, nil
	}
	proxy := n.byProxy(req, err)
	if proxy != nil {
		err = proxy
	}
	e := c.networkError(ctx, tryCtx, limit, err)
	mayHaveArrived := proxy == nil && (connected.Load() || !n.own && !isDialError(err))
	e.Ambiguous = !c.reads() && mayHaveArrived && e.Kind != Untrusted
	return nil, e
}

func roundTrip(transport http.RoundTripper, req *http.Request) (*answer, error) {
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp)
	if err != nil {
		return nil, err
	}
	return &answer{
		status:   resp.StatusCode,
		reason:   reasonPhrase(resp),
		location: resp.Header.Get("Location"),
		body:     body,
	}, nil
}

// readBody reads a body of at most maxBody bytes.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxBody {
		return nil, errTooLarge
	}
	var body bytes.Buffer
	body.Grow(int(max(resp.ContentLength, 0)) + bytes.MinRead)
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, maxBody+1)); err != nil {
		return nil, fmt.Errorf("the answer is incomplete: %w", err)
	}
	if body.Len() > maxBody {
		return nil, errTooLarge
	}
	return body.Bytes(), nil
}

// reasonPhrase is the text after the number in the status line.
func reasonPhrase(resp *http.Response) string {
	phrase := strings.TrimSpace(strings.TrimPrefix(resp.Status, fmt.Sprint(resp.StatusCode)))
	if phrase == "" {
		phrase = http.StatusText(resp.StatusCode)
	}
	return phrase
}

// networkError distinguishes the end of the caller's context, our timeout, an
// untrusted certificate and a network fault.
func (c *call) networkError(ctx, tryCtx context.Context, limit time.Duration, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return c.fail(Canceled, "canceled while waiting for the answer: "+ctx.Err().Error(), ctx.Err())
	case errors.Is(context.Cause(tryCtx), errNoAnswer) && c.upload != nil:
		return c.fail(Unavailable, fmt.Sprintf("the upload made no progress for %v", limit), errNoAnswer)
	case errors.Is(context.Cause(tryCtx), errNoAnswer):
		return c.fail(Unavailable, fmt.Sprintf("no answer within %v", limit), errNoAnswer) // the caller did not cancel it
	case errors.Is(err, errTooLarge):
		return c.fail(Unknown, err.Error(), err)
	case errors.Is(err, errUploadSize):
		return c.fail(Invalid, err.Error(), err)
	}
	if text := untrusted(err); text != "" {
		return c.fail(Untrusted, text, err)
	}
	e := c.fail(Unavailable, err.Error(), err)
	var proxy *ProxyError
	if errors.As(err, &proxy) && proxy.Status != "" {
		return e // a retry would get the same answer
	}
	if errors.Is(err, io.EOF) {
		e.Message = "the server closed the connection without an answer (EOF)"
	}
	e.passing = true
	return e
}

// isDialError reports whether no connection was made, so that nothing was sent.
func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
