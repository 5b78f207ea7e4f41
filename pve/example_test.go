package pve_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/pve"
)

// lab is a server with one VM, as far as the examples need it.
func lab() *httptest.Server {
	started := false
	answers := map[string]string{
		"GET /version":                           `{"version":"9.1.4","release":"9.1","repoid":"x"}`,
		"GET /nodes/pve1/qemu/101/pending":       `[{"key":"cores","value":4},{"key":"memory","value":"8192","pending":"16384"},{"key":"digest","value":"51c5c2"}]`,
		"POST /nodes/pve1/qemu/101/status/start": `"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:ops@pve!ci:"`,
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api2/json")
		switch data, known := answers[call]; {
		case known:
			fmt.Fprintf(w, `{"data":%s}`, data)
		case strings.HasSuffix(call, ":/status") && !started:
			started = true
			fmt.Fprint(w, `{"data":{"status":"running"}}`)
		case strings.HasSuffix(call, ":/status"):
			fmt.Fprint(w, `{"data":{"status":"stopped","exitstatus":"WARNINGS: 1"}}`)
		case call == "PUT /nodes/pve1/qemu/101/config":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"data":null,"message":"checksum mismatch (file change by other user?)\n"}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"data":null,"message":"Permission check failed (/nodes/pve1, Sys.Audit)\n"}`)
		}
	}))
}

func client(server *httptest.Server) *pve.Client {
	c, err := pve.New(pve.Options{
		Endpoint: server.URL, // https://pve1:8006
		Token:    "ops@pve!ci=8d2f1c3a-0000-0000-0000-000000000000",
	})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func Example() {
	server := lab()
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c := client(server)
	version, err := c.Version(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(version.Version)
	// Output: 9.1.4
}

// Wait for a task. One that ends with warnings has ended well.
func ExampleTask_Wait() {
	server := lab()
	defer server.Close()
	ctx := context.Background()

	task, err := client(server).Start(ctx, "pve1", 101, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("remember", task.UPID) // before waiting
	fmt.Println("failed:", task.Wait(ctx))
	// Output:
	// remember UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:ops@pve!ci:
	// failed: <nil>
}

// Change a configuration only if nobody else has changed it meanwhile.
func ExampleClient_UpdateConfig() {
	server := lab()
	defer server.Close()
	ctx := context.Background()
	c := client(server)

	config, err := c.Pending(ctx, "pve1", 101)
	if err != nil {
		log.Fatal(err)
	}
	memory := config.Options["memory"]
	fmt.Printf("memory is %s and will be %s\n", memory.Value, memory.Pending)

	err = c.UpdateConfig(ctx, "pve1", 101, pve.ConfigUpdate{
		Digest: config.Digest,
		Set:    map[string]string{"hostpci0": "mapping=gpu-pve1-0000-03-00-0,pcie=1"},
	})
	if pve.KindOf(err) == pve.Changed {
		fmt.Println("read it again:", err)
	}
	// Output:
	// memory is 8192 and will be 16384
	// read it again: PUT /nodes/pve1/qemu/101/config: checksum mismatch (file change by other user?) (500)
}

// An error says what it asks of the caller, and what the server said.
func ExampleError() {
	server := lab()
	defer server.Close()

	_, err := client(server).NodeStatus(context.Background(), "pve1")
	var e *pve.Error
	if errors.As(err, &e) && e.Kind == pve.Denied {
		fmt.Println("ask for the privilege:", e.Message)
	}
	// Output: ask for the privilege: Permission check failed (/nodes/pve1, Sys.Audit)
}

// A property string is changed without losing what this program does not know.
func ExampleProperties() {
	p := pve.ParseProperties("0000:03:00,pcie=0,driver=keep")
	p.Set("pcie", "1")
	device, _ := p.Get("host", "")
	fmt.Println(p, device)
	// Output: 0000:03:00,pcie=1,driver=keep 0000:03:00
}

func ExampleEncodeSSHKeys() {
	fmt.Println(pve.EncodeSSHKeys([]string{"ssh-ed25519 AAAA+x ops@example"}))
	// Output: ssh-ed25519%20AAAA%2Bx%20ops%40example
}

func ExampleParseUPID() {
	u, err := pve.ParseUPID("UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmclone:9000:ops@pve!ci:")
	fmt.Println(u.Node, u.Type, u.VMID(), err)
	// Output: pve1 qmclone 9000 <nil>
}
