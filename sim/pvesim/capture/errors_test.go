package capture_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/sim/pvesim/capture"
)

// spoiled is a cluster with a changed answer for one path.
func spoiled(t *testing.T, spoil func(w http.ResponseWriter, r *http.Request) bool) *served {
	t.Helper()
	sim, err := pvesim.New(loadWorld(t, "homelab"), pvesim.WithTimeScale(500), pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil(w, r) {
			sim.ServeHTTP(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return &served{t: t, server: server, token: "gpuworker@pve!audit=33333333-3333-4333-8333-333333333333", fingerprint: fingerprint(server)}
}

func at(path string, answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, path) {
			return false
		}
		answer(w)
		return true
	}
}

func everywhere(http.ResponseWriter, *http.Request) bool { return false }

func TestAFailedCaptureSaysWhatWhereWhyAndWhatNext(t *testing.T) {
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code) }
	}
	text := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { fmt.Fprint(w, text) }
	}
	tests := map[string]struct {
		spoil  func(http.ResponseWriter, *http.Request) bool
		change func(*capture.Options)
		want   []string
	}{
		"another server's certificate": {everywhere, func(o *capture.Options) { o.Fingerprint = strings.Repeat("00:", 31) + "00" },
			[]string{"read /version of https://127.0.0.1:", "another server than expected", "its certificate has the fingerprint ", "pvenode cert info"}},
		"a certificate that nobody vouches for": {everywhere, func(o *capture.Options) { o.Fingerprint = "" },
			[]string{"/version", "not trusted", "give the certificate's fingerprint"}},
		"a fingerprint that is none": {everywhere, func(o *capture.Options) { o.Fingerprint = "AB:CD" },
			[]string{`fingerprint "AB:CD"`, "64 hexadecimal digits"}},
		"a CA file without a certificate": {everywhere, func(o *capture.Options) { o.Fingerprint, o.CA = "", []byte("no PEM") },
			[]string{"no certificate in PEM form", "pve-root-ca.pem"}},
		"a token with a wrong secret": {everywhere, func(o *capture.Options) { o.Token = "gpuworker@pve!audit=wrong-secret" },
			[]string{"/version", "does not know the token", "401", "check id and secret"}},
		"a password in the place of a token": {everywhere, func(o *capture.Options) { o.Token = "hunter2-secret" },
			[]string{"not of the form user@realm!name=secret"}},
		"an endpoint without scheme": {everywhere, func(o *capture.Options) { o.Endpoint = "pve1:8006" },
			[]string{`endpoint "pve1:8006"`, "https://HOST:8006"}},
		"403 for everything": {at("", status(403)), nil, []string{"/version", "may not see it", "403", "PVEAuditor on /"}},
		"a web page":         {at("/nodes", text("<!DOCTYPE html><title>login</title>")), nil, []string{"read /nodes of https://127.0.0.1:", "not JSON", "<!DOCTYPE html", "port 8006"}},
		"an answer that breaks off": {at("/storage", text(`{"data":[{"storage":"local"`)), nil,
			[]string{"/storage", "is truncated after 27 bytes", "capture again"}},
		"a connection that breaks off": {at("/pools", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"data":[`)
		}), nil, []string{"/pools", "is truncated after 9 bytes"}},
		"JSON of another kind": {at("/nodes", text(`{"data":{"hello":"world"}}`)), nil, []string{"/nodes", "another form than that of Proxmox VE"}},
		"JSON of another API":  {at("/nodes", text(`{"items":[]}`)), nil, []string{"/nodes", `no "data"`}},
		"an answer without end": {at("/cluster/resources", func(w http.ResponseWriter) {
			for _, err := io.WriteString(w, `{"data":["`); err == nil; _, err = io.WriteString(w, strings.Repeat("x", 1<<20)) {
			}
		}), nil, []string{"/cluster/resources", "more than 64 MiB"}},
		"a redirect to elsewhere": {at("/version", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://elsewhere.example.org/")
			w.WriteHeader(302)
		}), nil, []string{"/version", "redirects to another address", "302"}},
		"a proxy whose server is away": {at("/version", status(502)), nil, []string{"/version", "502", "with port 8006"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := spoiled(t, test.spoil).options()
			if test.change != nil {
				test.change(&options)
			}
			_, err := capture.Capture(t.Context(), options)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			for _, secret := range []string{"33333333", "wrong-secret", "hunter2"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error has the secret %q in it: %v", secret, err)
				}
			}
		})
	}
}

func TestACertificateOfTheClustersOwnAuthorityIsTrusted(t *testing.T) {
	cluster := serve(t, loadWorld(t, "homelab"), "gpuworker@pve!audit")
	options := cluster.options()
	options.Fingerprint = ""
	options.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.server.Certificate().Raw})
	if _, err := capture.Capture(t.Context(), options); err != nil {
		t.Error(err)
	}
}

func TestAServerThatIsNotThereIsSaidSo(t *testing.T) {
	cluster := spoiled(t, everywhere)
	cluster.server.Close()
	_, err := capture.Capture(t.Context(), cluster.options())
	if err == nil || !strings.Contains(err.Error(), "the connection failed") || !strings.Contains(err.Error(), "firewall") {
		t.Errorf("got %v", err)
	}
}

// transport is a custom transport to a simulator.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inBubble captures a world in simulated time.
func inBubble(t *testing.T, world pvesim.World, token string, timeout time.Duration,
	around func(r *http.Request, next func() (*http.Response, error)) (*http.Response, error)) (*capture.Result, error) {
	t.Helper()
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	return capture.Capture(t.Context(), capture.Options{Endpoint: "https://pve1:8006", Token: token, Timeout: timeout,
		Transport: transport(func(r *http.Request) (*http.Response, error) {
			return around(r, func() (*http.Response, error) { return sim.Transport().RoundTrip(r) })
		})})
}

const engineToken = "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111"

// never waits until the client gives up.
func never(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestAHostThatHangsIsCapturedAsOffline(t *testing.T) {
	for name, hangs := range map[string]func(path string) bool{
		"from the beginning": func(path string) bool { return strings.Contains(path, "/nodes/pve2/") },
		"in the midst of it": func(path string) bool { return strings.Contains(path, "/nodes/pve2/qemu/") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				result, err := inBubble(t, loadWorld(t, "homelab"), engineToken, 40*time.Second,
					func(r *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
						if hangs(r.URL.Path) {
							return never(r)
						}
						return next()
					})
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(started); took > time.Minute {
					t.Errorf("it took %s: a host that did not answer was asked again", took)
				}
				at := slices.IndexFunc(result.World.Hosts, func(h pvesim.Host) bool { return h.Name == "host2" })
				if name == "from the beginning" && !result.World.Hosts[at].Offline {
					t.Error("the host is not captured as offline")
				}
				notes := fmt.Sprint(result.Notes)
				for _, want := range []string{"VMs 204, 9001", "no answer within 40s"} {
					if !strings.Contains(notes, want) {
						t.Errorf("no note says %q: %s", want, notes)
					}
				}
			})
		})
	}
}

func TestAHostThatTheProxyCannotReachIsCapturedAsOffline(t *testing.T) {
	// In the cluster's list the host is online, but the proxy cannot reach it.
	proxied := spoiled(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/nodes/pve2/") {
			return false
		}
		w.WriteHeader(595)
		return true
	})
	result := proxied.capture(false)
	notes := fmt.Sprint(result.Notes)
	if !result.World.Hosts[1].Offline || !strings.Contains(notes, "of host2") || !strings.Contains(notes, "595") {
		t.Errorf("offline is %t, the notes are %s", result.World.Hosts[1].Offline, notes)
	}
}

func TestManyVMsAreReadInParallelAndNotAllAtOnce(t *testing.T) {
	world := loadWorld(t, "homelab")
	for id := 1000; id < 1500; id++ {
		world.VMs = append(world.VMs, pvesim.VM{ID: id, Host: "pve1", Config: map[string]any{"name": fmt.Sprint("many-", id)}})
	}
	synctest.Test(t, func(t *testing.T) {
		var underWay, most, total atomic.Int64
		started := time.Now()
		result, err := inBubble(t, world, engineToken, 0, func(_ *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
			now := underWay.Add(1)
			defer underWay.Add(-1)
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			}
			total.Add(1)
			<-time.After(100 * time.Millisecond)
			return next()
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(result.World.VMs) != 506 || most.Load() != 8 {
			t.Errorf("%d VMs, at most %d requests at once; want 506 and 8", len(result.World.VMs), most.Load())
		}
		// One request a VM, 8 at once, 100 ms each.
		if took := time.Since(started); took > 9*time.Second || total.Load() > 600 {
			t.Errorf("it took %s and %d requests", took, total.Load())
		}
	})
}

func TestCaptureSendsNothingButGET(t *testing.T) {
	var mu sync.Mutex
	methods := map[string]int{}
	cluster := spoiled(t, func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		methods[r.Method]++
		if r.ContentLength != 0 {
			methods["with a body"]++
		}
		return false
	})
	cluster.capture(false)
	if len(methods) != 1 || methods["GET"] < 40 {
		t.Errorf("sent %v", methods)
	}
}

func TestACaptureCanBeInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("the operator had enough")
		go func() {
			<-time.After(5 * time.Second)
			cancel(stopped)
		}()
		_, err := capture.Capture(ctx, capture.Options{Endpoint: "https://pve1", Token: engineToken, Transport: transport(never)})
		if !errors.Is(err, stopped) {
			t.Errorf("got %v, want %v", err, stopped)
		}
	})
}

func TestAVersionThatCannotBeSimulatedIsRefusedAtOnce(t *testing.T) {
	cluster := spoiled(t, at("/version", func(w http.ResponseWriter) { fmt.Fprint(w, `{"data":{"version":"7.4-17","release":"7.4"}}`) }))
	_, err := capture.Capture(t.Context(), cluster.options())
	if err == nil || !strings.Contains(err.Error(), `7.4-17`) || !strings.Contains(err.Error(), "8 and 9") {
		t.Errorf("got %v", err)
	}
}
