package pvesim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exchanged is one answer as read from a connection.
type exchanged struct {
	status     string
	connection []string
}

// spoken sends a raw request over a connection and reads the answer.
func spoken(t *testing.T, conn net.Conn, reader *bufio.Reader, method, path, body string) exchanged {
	t.Helper()
	form := ""
	if body != "" {
		form = fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))
	}
	if _, err := fmt.Fprintf(conn, "%s /api2/json%s HTTP/1.1\r\nHost: pve1\r\nAuthorization: PVEAPIToken=%s\r\n%s\r\n%s", method, path, engineToken, form, body); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	// net/http would hide some of the headers.
	text := textproto.NewReader(reader)
	status, err := text.ReadLine()
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil {
		t.Fatalf("%s %s: the length of the body: %v", method, path, err)
	}
	if _, err := io.CopyN(io.Discard, reader, length); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return exchanged{status, header["Connection"]}
}

// dialed returns a connection to a served simulator.
func dialed(t *testing.T, sim *Sim) (net.Conn, *bufio.Reader) {
	t.Helper()
	server := httptest.NewUnstartedServer(sim)
	server.Config = sim.Server()
	server.Start()
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

// TestAConnectionStaysOpenAfterGoodAnswers compares with the answers of a real cluster of
// two hosts, all over one connection.
func TestAConnectionStaysOpenAfterGoodAnswers(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	conn, reader := dialed(t, sim)
	for _, tc := range []struct {
		method, path, body string
		connection         []string
	}{
		{"GET", "/version", "", []string{"Keep-Alive"}},
		{"GET", "/access/permissions", "", []string{"Keep-Alive"}},
		{"GET", "/cluster/resources", "", []string{"Keep-Alive"}},
		{"GET", "/nodes/pve1/tasks", "", []string{"Keep-Alive"}},
		{"GET", "/nodes/pve1/qemu", "", []string{"close", "Keep-Alive"}},
		{"PUT", "/nodes/pve1/qemu/100/config", "description=x", []string{"close", "Keep-Alive"}},
		{"POST", "/nodes/pve1/qemu/100/config", "description=y", []string{"close", "Keep-Alive"}},
		{"GET", "/nodes/pve2/network", "", []string{"Keep-Alive", "Keep-Alive"}},
		{"GET", "/nodes/pve2/qemu", "", []string{"close,Keep-Alive", "Keep-Alive"}},
		{"GET", "/nodes/pve2", "", []string{"Keep-Alive"}}, // an index, which whichever host is asked has
		{"GET", "/nodes/pve1/qemu/999/config", "", []string{"close"}},
	} {
		got := spoken(t, conn, reader, tc.method, tc.path, tc.body)
		if !slices.Equal(got.connection, tc.connection) {
			t.Errorf("%s %s: %s with Connection %q, want %q", tc.method, tc.path, got.status, got.connection, tc.connection)
		}
	}
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after an error: %v, want the end of the connection", err)
	}
}

func TestAClientMayAskForTheEndOfItsConnection(t *testing.T) {
	conn, reader := dialed(t, newSim(t, homelab(t), fast))
	fmt.Fprintf(conn, "GET /api2/json/nodes/pve1/qemu HTTP/1.1\r\nHost: pve1\r\nConnection: close\r\nAuthorization: PVEAPIToken=%s\r\n\r\n", engineToken)
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\r\n\r\n")
	if !strings.Contains(head, "200 OK") || strings.Count(head, "Connection:") != 1 || !strings.Contains(head, "Connection: close") {
		t.Errorf("the answer begins\n%s", head)
	}
}

// TestInOneProcessAClientSeesTheSame compares Transport with a real connection.
func TestInOneProcessAClientSeesTheSame(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	server := httptest.NewServer(sim)
	defer server.Close()
	look := func(transport http.RoundTripper, base, path string) string {
		req, err := http.NewRequest("GET", base+"/api2/json"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "PVEAPIToken="+engineToken)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return fmt.Sprintf("%q, closed: %v", resp.Header["Connection"], resp.Close)
	}
	for _, path := range []string{"/version", "/nodes/pve1/qemu", "/nodes/pve2/qemu", "/nodes/pve2/network", "/nodes/pve1/qemu/999/config"} {
		near, far := look(sim.Transport(), "http://pve.example", path), look(http.DefaultTransport, server.URL, path)
		if near != far {
			t.Errorf("GET %s: Connection %s in one process, %s over a connection", path, near, far)
		}
	}
}
