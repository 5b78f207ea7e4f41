package pve

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// answering is a server that writes raw answers, and closes connections only if closes
// is true.
func answering(t *testing.T, raw string, closes bool) (client *Client, connections *atomic.Int32) {
	t.Helper()
	borrowed := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	borrowed.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", borrowed.TLS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	connections = new(atomic.Int32)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go serveRaw(conn, raw, closes)
		}
	}()
	client, err = New(Options{Endpoint: "https://" + listener.Addr().String(), Token: testToken, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return client, connections
}

func serveRaw(conn net.Conn, raw string, closes bool) {
	defer func() { _ = conn.Close() }()
	for in := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_ = request.Body.Close()
		if _, err := conn.Write([]byte(raw)); err != nil || closes {
			return
		}
	}
}

// TestAConnectionIsKeptWhenTheServerKeepsIt sends ten requests in sequence to servers
// with the headers of real ones.
func TestAConnectionIsKeptWhenTheServerKeepsIt(t *testing.T) {
	tests := []struct {
		name, status, connection string
		closes                   bool
		want                     int32
	}{
		{"pveproxy itself", "200 OK", "Connection: Keep-Alive\r\n", false, 1},
		{"pvedaemon", "200 OK", "Connection: close\r\nConnection: Keep-Alive\r\n", false, 1},
		{"pvedaemon of another node", "200 OK", "Connection: close,Keep-Alive\r\nConnection: Keep-Alive\r\n", false, 1},
		{"a server that means it", "200 OK", "Connection: close\r\n", true, 10},
		{"an error", "500 no such VM", "Connection: close\r\nConnection: Keep-Alive\r\n", true, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const body = `{"data":{"version":"Connection: close, "},"message":"x"}`
			raw := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", tt.status, tt.connection, len(body), body)
			c, connections := answering(t, raw, tt.closes)
			for range 10 {
				v, err := c.Version(t.Context())
				if tt.status == "200 OK" && (err != nil || v.Version != "Connection: close, ") || tt.status != "200 OK" && err == nil {
					t.Fatal(v, err)
				}
			}
			if got := connections.Load(); got != tt.want {
				t.Errorf("%d connections, want %d", got, tt.want)
			}
		})
	}
}
