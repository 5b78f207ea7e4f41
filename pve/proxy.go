package pve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// ProxyError says that the HTTP proxy between client and server failed or refused the
// connection. Nothing was sent to the server.
type ProxyError struct {
	Proxy  string // "http://proxy.example.org:3128", without a login
	Target string // "pve1.example.org:8006"
	Status string // "407 Proxy Authentication Required"; "" when the proxy did not answer
	Cause  error  // why it did not answer
}

// Error names the proxy and its answer.
func (e *ProxyError) Error() string {
	if e.Status == "" {
		return fmt.Sprintf("the proxy %s from the environment (HTTPS_PROXY) cannot be reached: %v", e.Proxy, e.Cause)
	}
	return fmt.Sprintf("the proxy %s from the environment (HTTPS_PROXY) refused to connect to %s: %s", e.Proxy, e.Target, e.Status)
}

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Cause }

// refusedByProxy turns the answer of a proxy into an error that names the proxy. The
// error of net/http has only the text of the status, "Forbidden".
func refusedByProxy(_ context.Context, proxy *url.URL, request *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxyName(proxy), Target: request.Host, Status: clip(oneLine(answer.Status), 100)}
}

func proxyName(proxy *url.URL) string { return proxy.Scheme + "://" + proxy.Host }

// byProxy returns the error of the proxy, or nil if the proxy did not fail.
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
