package pve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
)

// proxied returns a client whose requests go through a proxy.
func proxied(t *testing.T, proxy string) *Client {
	t.Helper()
	o := Options{Endpoint: "https://pve1.test:8006", Token: testToken}
	transport, err := newTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = http.ProxyURL(address)
	o.Transport = transport
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestARefusalOfAProxyNamesTheProxy: otherwise the status of a proxy, "Forbidden",
// would look like that of the server.
func TestARefusalOfAProxyNamesTheProxy(t *testing.T) {
	for status, tries := range map[string]int{"407 Proxy Authentication Required": 1, "403 Forbidden": 1, "502 Bad Gateway": 1} {
		t.Run(status, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			asked := make(chan string, 10)
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					r, err := http.ReadRequest(bufio.NewReader(conn))
					if err == nil {
						asked <- r.Method + " " + r.Host
					}
					fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status)
					conn.Close()
				}
			}()
			c := proxied(t, "http://somebody:canary-password@"+listener.Addr().String())
			err = c.CreateMapping(context.Background(), MappingSpec{ID: "gpu-a", Map: []string{"node=pve1"}})
			e := mustError(t, err)
			want := "the proxy http://" + listener.Addr().String() + " from the environment (HTTPS_PROXY) refused to connect to pve1.test:8006: " + status
			mustContain(t, e.Error(), want)
			var refusal *ProxyError
			if e.Kind != Unavailable || e.Ambiguous || !errors.As(err, &refusal) {
				t.Errorf("kind %s, ambiguous %v, %T", e.Kind, e.Ambiguous, e.Cause)
			}
			_, err = c.Version(context.Background())
			mustContain(t, err.Error(), want)
			if len(asked) != 1+tries {
				t.Errorf("asked %d times", len(asked))
			}
			if first := <-asked; first != "CONNECT pve1.test:8006" {
				t.Errorf("asked %q", first)
			}
		})
	}
}

func TestAnUnreachableProxyIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	err = proxied(t, "http://"+address).DeleteMapping(context.Background(), "gpu-a")
	e := mustError(t, err)
	mustContain(t, e.Error(), "the proxy http://"+address+" from the environment (HTTPS_PROXY) cannot be reached: ", "connection refused")
	if e.Kind != Unavailable || e.Ambiguous {
		t.Errorf("kind %s, ambiguous %v", e.Kind, e.Ambiguous)
	}
}
