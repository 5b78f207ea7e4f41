package pve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// ProxyError says that an HTTP proxy stands between us and the server and did not
// let us through. Nothing was sent to the server.
type ProxyError struct {
	Proxy  string // "http://proxy.example.org:3128", without a login
	Target string // "pve1.example.org:8006"
	Status string // "407 Proxy Authentication Required"; "" when the proxy did not answer
	Cause  error  // why it did not answer
}

// Error names the proxy, and what it said.
func (e *ProxyError) Error() string {
	if e.Status == "" {
		return fmt.Sprintf("the proxy %s, which the environment names, cannot be reached: %v", e.Proxy, e.Cause)
	}
	return fmt.Sprintf("the proxy %s, which the environment names, refused the way to %s: %s", e.Proxy, e.Target, e.Status)
}

// Unwrap gives the cause.
func (e *ProxyError) Unwrap() error { return e.Cause }

// refusedByProxy turns the answer of a proxy into an error that says whose it is:
// net/http makes one of its words alone, "Forbidden".
func refusedByProxy(_ context.Context, proxy *url.URL, request *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxyName(proxy), Target: request.Host, Status: clip(oneLine(answer.Status), 100)}
}

func proxyName(proxy *url.URL) string { return proxy.Scheme + "://" + proxy.Host }

// byProxy finds out whether it was the proxy that failed; nil when it was not.
func (n *network) byProxy(request *http.Request, err error) *ProxyError {
	var refused *ProxyError
	if errors.As(err, &refused) {
		return refused
	}
	var op *net.OpError
	transport, own := n.transport.(*http.Transport)
	if !errors.As(err, &op) || op.Op != "proxyconnect" || !own {
		return nil
	}
	proxy, proxyErr := transport.Proxy(request)
	if proxyErr != nil || proxy == nil {
		return nil
	}
	return &ProxyError{Proxy: proxyName(proxy), Target: request.URL.Host, Cause: op.Err}
}
