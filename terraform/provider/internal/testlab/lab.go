// Package testlab runs the real terraform binary with the provider against a simulated
// Proxmox VE cluster, over TLS.
package testlab

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// Lab is one cluster.
type Lab struct {
	t        *testing.T
	Sim      *pvesim.Sim
	Endpoint string

	rootPassword string
	said         said
	tally        tally
}

// timeScale is how much faster than a real cluster it is.
const timeScale = 500

// New starts a cluster like testdata/worlds/homelab.yaml: Tesla T4s at pve1/0000:03:00.0
// and on pve2. The provider finds its login in the environment. Without terraform, the
// test is skipped.
func New(t *testing.T, change ...func(*pvesim.World)) *Lab {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("not run: it needs the program terraform; make e2e-terraform builds it")
	}
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
	server := httptest.NewUnstartedServer(sim)
	l := &Lab{t: t, Sim: sim}
	server.Config = sim.Server()
	server.Config.Handler = l.counted(server.Config.Handler)
	server.StartTLS()
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	l.Endpoint = server.URL
	l.login(&world, server.Certificate().Raw)
	return l
}

// login puts the login into the environment, where the provider finds it.
func (l *Lab) login(world *pvesim.World, certificate []byte) {
	sum := sha256.Sum256(certificate)
	l.t.Setenv("TF_CLI_CONFIG_FILE", "")
	l.t.Setenv("GPUWORKER_ENDPOINT", l.Endpoint)
	l.t.Setenv("GPUWORKER_FINGERPRINT", hex.EncodeToString(sum[:]))
	for _, token := range world.Tokens {
		if strings.HasSuffix(token.ID, "!engine") {
			l.t.Setenv("GPUWORKER_TOKEN", token.ID+"="+token.Secret)
		}
	}
	for _, user := range world.Users {
		if user.ID == "root@pam" {
			l.rootPassword = user.Password
		}
	}
}

// Providers are the provider for a test case. Each command of Terraform gets a new one.
func (l *Lab) Providers() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"gpuworker": func() (tfprotov6.ProviderServer, error) {
			return &listener{provider.New("test", io.Discard).(server), &l.said}, nil
		},
	}
}
