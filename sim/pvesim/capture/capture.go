package capture

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// Options are the options of Capture.
type Options struct {
	// Endpoint is the address of one host: https://pve1:8006.
	Endpoint string
	// Token is user@realm!name=secret.
	Token string
	// Fingerprint is the SHA-256 of the server's certificate; CA are certificates in PEM
	// form. Without both, the system's certificate authorities are trusted.
	Fingerprint string
	CA          []byte
	// KeepNames keeps the names of hosts, VMs, storages and similar objects.
	KeepNames bool
	// Timeout is the timeout of each request, 40 s when 0: the real proxy answers with an
	// error after 30 s without an answer of a host.
	Timeout time.Duration
	// Parallel is the number of concurrent requests, 8 when 0. A host's privileged daemon
	// has three workers for all its clients.
	Parallel int
	// Progress receives the progress; it is never called concurrently.
	Progress func(Progress)
	// Transport is used in place of real connections.
	Transport http.RoundTripper
}

// Progress is the progress of a capture.
type Progress struct {
	What        string // "VMs"
	Done, Total int
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return 40 * time.Second
}

func (o Options) parallel() int {
	if o.Parallel > 0 {
		return o.Parallel
	}
	return 8
}

// Result is a captured cluster.
type Result struct {
	World pvesim.World
	// Notes list omissions and assumptions.
	Notes []Note
	// Login is the new name of the capturing token; Secret is its secret in the world.
	Login, Secret string
	// Names are pseudonyms, so that users can find objects again: kind ("host",
	// "storage", "vm") → real name → pseudonym.
	Names map[string]map[string]string
}

// Capture reads a cluster and makes a world from it.
func Capture(ctx context.Context, o Options) (*Result, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	defer c.http.CloseIdleConnections()
	read, err := readCluster(ctx, c, o)
	if err != nil {
		return nil, err
	}
	result := build(read, newNames(o.KeepNames, documentationNets(read)))
	file, err := result.YAML()
	if err != nil {
		return nil, err
	}
	if _, err := pvesim.LoadWorld(file); err != nil {
		return nil, fmt.Errorf("the capture of %s is not a valid world, which is a bug of capture; please report the lines below: %w", c.base, err)
	}
	return result, nil
}
