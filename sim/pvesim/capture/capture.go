package capture

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// Options say which cluster is captured, and how.
type Options struct {
	// Endpoint is the address of one host: https://pve1:8006.
	Endpoint string
	// Token is user@realm!name=secret.
	Token string
	// Fingerprint is the SHA-256 of the server's certificate; CA are
	// certificates in PEM form. Without both the system's are trusted.
	Fingerprint string
	CA          []byte
	// KeepNames leaves the names of hosts, VMs, storages and the like readable.
	KeepNames bool
	// Timeout is for each request, 40 s when 0: the real proxy gives up on a
	// host after 30 s, and says so.
	Timeout time.Duration
	// Parallel is how many requests are under way at once, 8 when 0. A host's
	// privileged daemon has three workers for all its clients.
	Parallel int
	// Progress is told what is read, one call at a time.
	Progress func(Progress)
	// Transport is used in place of real connections.
	Transport http.RoundTripper
}

// Progress is how far a capture is.
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
	// Notes say what is not in the world, and what in it is assumed.
	Notes []Note
	// Login is the token that captured, by its new name; Secret is its secret
	// in the world.
	Login, Secret string
	// Names are the pseudonyms of those kinds of names that a person may want
	// to find again: kind ("host", "storage", "vm") → real name → pseudonym.
	Names map[string]map[string]string
}

// Capture reads a cluster and makes a world of it.
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
		return nil, fmt.Errorf("what was captured of %s is no world that pvesim takes, which is a mistake of capture; please report the lines below: %w", c.base, err)
	}
	return result, nil
}
