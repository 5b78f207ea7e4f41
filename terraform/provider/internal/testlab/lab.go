// Package testlab runs the real terraform binary with the provider against a simulated
// Proxmox VE cluster, over TLS.
package testlab

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// Lab is one cluster.
type Lab struct {
	t            *testing.T
	Sim          *pvesim.Sim
	rootPassword string
	Endpoint     string
	Fingerprint  string            // of the certificate of the endpoint
	Tokens       map[string]string // by name: "engine" has all privileges, "weak" may not make mappings

	env    map[string]string // of the provider
	watch  atomic.Pointer[func(write int, answered bool)]
	writes atomic.Int64
	said   said
	tally  tally
}

// Watch calls watch before and after each request that is not a GET, with its number
// from 1 on.
func (l *Lab) Watch(watch func(write int, answered bool)) {
	l.writes.Store(0)
	l.watch.Store(&watch)
}

func (l *Lab) serve(w http.ResponseWriter, r *http.Request) {
	watch := l.watch.Load()
	if watch == nil || r.Method == http.MethodGet {
		l.Sim.ServeHTTP(w, r)
		return
	}
	n := int(l.writes.Add(1))
	(*watch)(n, false)
	l.Sim.ServeHTTP(w, r)
	(*watch)(n, true)
}

// timeScale is how much faster than a real cluster it is.
const timeScale = 500

// New starts a cluster, see Start, in parallel with other tests. Without a program to test
// with, the test is skipped.
func New(t *testing.T, change ...func(*pvesim.World)) *Lab {
	t.Helper()
	ready(t)
	t.Parallel()
	return Start(t, change...)
}

// Alone is New for a test that changes the environment of the process, whose number of
// requests depends on the load of the machine, or whose operations have a short time limit.
func Alone(t *testing.T, change ...func(*pvesim.World)) *Lab {
	t.Helper()
	ready(t)
	return Start(t, change...)
}

// ready sets what the test framework reads from the environment of the process.
func ready(t *testing.T) {
	t.Helper()
	registry := Tested(t).Registry()
	prepareOnce.Do(func() {
		for name, value := range map[string]string{"TF_CLI_CONFIG_FILE": "", "TF_ACC_PROVIDER_HOST": registry} {
			if err := os.Setenv(name, value); err != nil { //nolint:usetesting // parallel tests may not use t.Setenv
				t.Fatal(err)
			}
		}
	})
}

var prepareOnce sync.Once

// Set sets a variable in the environment of the provider, which has no others than those
// for the login.
func (l *Lab) Set(name, value string) { l.env[name] = value }

func (l *Lab) getenv(name string) string { return l.env[name] }

// Start starts a cluster like testdata/worlds/homelab.yaml: Tesla T4s at pve1/0000:03:00.0
// and on pve2.
func Start(t *testing.T, change ...func(*pvesim.World)) *Lab {
	t.Helper()
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range change {
		one(&world)
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(timeScale), pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t, Sim: sim, rootPassword: world.Users[0].Password, Tokens: map[string]string{}}
	server := httptest.NewUnstartedServer(sim)
	server.Config = sim.Server()
	server.Config.Handler = l.counted(http.HandlerFunc(l.serve))
	server.StartTLS()
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	sum := sha256.Sum256(server.Certificate().Raw)
	l.Endpoint, l.Fingerprint = server.URL, hex.EncodeToString(sum[:])
	for _, token := range world.Tokens {
		_, name, _ := strings.Cut(token.ID, "!")
		l.Tokens[name] = token.ID + "=" + token.Secret
	}
	l.env = map[string]string{"GPUWORKER_ENDPOINT": l.Endpoint, "GPUWORKER_FINGERPRINT": l.Fingerprint, "GPUWORKER_TOKEN": l.Tokens["engine"]}
	return l
}

// Providers are the provider for a test case. Each command of Terraform gets a new one.
func (l *Lab) Providers() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"gpuworker": func() (tfprotov6.ProviderServer, error) {
			return &listener{provider.New("test", io.Discard, l.getenv).(Server), &l.said}, nil
		},
	}
}
