package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gpuworker/gpuworker/internal/guestbuild"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// timeScale is the factor by which the simulated cluster is faster than a real one.
// The program's own pauses are real.
const timeScale = 500

// cluster is the simulated cluster of one script.
type cluster struct {
	sim    *pvesim.Sim
	writes int // number of write requests at the last check
}

type clusterKey struct{}

func clusterOf(ts *testscript.TestScript) *cluster { return ts.Value(clusterKey{}).(*cluster) }

// setUp starts the cluster of a script and writes login.yaml, the documents with its
// endpoint and credentials. A file "world" in the script changes the cluster before,
// one change per line (see changeWorld).
func setUp(env *testscript.Env) error {
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		return err
	}
	if err := changeWorld(&world, filepath.Join(env.WorkDir, "world")); err != nil {
		return err
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(timeScale), pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		return err
	}
	server := httptest.NewTLSServer(sim)
	env.Defer(func() {
		sim.Close()
		server.Close()
	})
	env.Values[clusterKey{}] = &cluster{sim: sim}
	sum := sha256.Sum256(server.Certificate().Raw)
	env.Setenv("ENDPOINT", server.URL)
	env.Setenv("FINGERPRINT", hex.EncodeToString(sum[:]))
	for _, token := range world.Tokens {
		_, name, _ := strings.Cut(token.ID, "!")
		env.Setenv(strings.ToUpper(name)+"_TOKEN", token.ID+"="+token.Secret)
	}
	env.Setenv("PVE_TOKEN", env.Getenv("ENGINE_TOKEN"))
	env.Setenv("USER", "tester")
	if dir, err := filepath.Abs(captured); err == nil {
		env.Setenv("CAPTURED", dir)
	}
	return errors.Join(writeGuests(env), expandFiles(env))
}

// writeGuests writes a stand-in for gpuworker-guest into the directory guests: simulated
// guests run no program.
func writeGuests(env *testscript.Env) error {
	build, dir := guestbuild.StandIn().Builds[0], filepath.Join(env.WorkDir, "guests")
	return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, build.FileName()), build.Data, 0o755))
}

// expandFiles inserts endpoint and fingerprint into the YAML files of a script, and
// writes login.yaml if the script has none.
func expandFiles(env *testscript.Env) error {
	login := filepath.Join(env.WorkDir, "login.yaml")
	if _, err := os.Stat(login); err != nil {
		if err := os.WriteFile(login, []byte(loginDocuments), 0o600); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(env.WorkDir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		expanded := os.Expand(string(text), func(name string) string {
			if value := env.Getenv(name); value != "" {
				return value
			}
			return "$" + name
		})
		if err := os.WriteFile(file, []byte(expanded), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const loginDocuments = `apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: lab}
spec:
  proxmox:
    endpoint: ${ENDPOINT}
    tls: {fingerprint: ${FINGERPRINT}}
    credentials: {token: {env: PVE_TOKEN}}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: rke2-lab}
spec:
  server: https://rke2.lab.example.org:9345
`

// changeWorld carries out the lines of a script's file "world":
//
//	offline HOST        the host is down
//	memory HOST GIB     the memory of the host
//	hardware HOST FILE  the host has the PCI devices of a captured host ($CAPTURED/FILE)
//	unlike STORAGE WHAT the storage does not accept this content
func changeWorld(world *pvesim.World, file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lines := bufio.NewScanner(strings.NewReader(string(data)))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		host := slices.IndexFunc(world.Hosts, func(h pvesim.Host) bool { return h.Name == words[1] })
		storage := slices.IndexFunc(world.Storages, func(s pvesim.Storage) bool { return s.Name == words[1] })
		switch words[0] {
		case "offline":
			world.Hosts[host].Offline = true
		case "memory":
			if world.Hosts[host].MemoryGiB, err = strconv.ParseFloat(words[2], 64); err != nil {
				return err
			}
		case "hardware":
			if err := takeHardware(&world.Hosts[host], words[2]); err != nil {
				return err
			}
		case "unlike":
			s := &world.Storages[storage]
			s.Content = slices.DeleteFunc(s.Content, func(c string) bool { return c == words[2] })
		default:
			return fmt.Errorf("world: unknown change %q", words[0])
		}
	}
	return err
}

// captured is the directory of captured hosts.
const captured = "../internal/host/check/testdata"

func takeHardware(host *pvesim.Host, file string) error {
	data, err := os.ReadFile(filepath.Join(captured, file))
	if err != nil {
		return err
	}
	tree, err := hosttree.Parse(data)
	if err != nil {
		return err
	}
	return host.TakeHardware(tree)
}
