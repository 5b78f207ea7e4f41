// Package engine is the one package that front ends import. It connects documents,
// the backends of hypervisors, planning and applying: Plan, Apply and the reports.
// Documents are arguments: decoded, with defaults set, and valid. The package prints
// nothing and knows no flags.
package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/logging"
)

// RoleWriter is a backend that can print how to create a least-privilege login.
type RoleWriter interface {
	// Role returns the commands for a person to run, with reasons as comments.
	// version is the hypervisor's, "" for the newest known version.
	Role(version string, scope hypervisor.Scope) string
}

// Options configure an engine.
type Options struct {
	// Open logs in to a hypervisor of the documents.
	Open func(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error)
	// By is the author of claims, "user@machine".
	By string
	// NewUUID makes UUIDs for new VMs; nil makes random ones.
	NewUUID func() string
	// Facts provides host facts; may be nil.
	Facts FactSource
	// Builds returns the builds of gpuworker-guest; it is called only when guests get it.
	// nil when there are none.
	Builds func() ([]bootstrap.Build, error)
	// Version is that of this program, which guests are told.
	Version string
	// Log gets each observation and each change; nil logs nothing.
	Log *slog.Logger
}

// FactSource provides host facts.
type FactSource interface {
	// Facts are the facts of the hosts, by name. A host that did not answer has an
	// entry with the reason; a host without a way to ask it has no entry.
	Facts(ctx context.Context, hosts []*inventory.Host) map[string]*inventory.Facts
	// Unused reports facts of hosts that are not in this list, which has the hosts of
	// all hypervisors.
	Unused(hosts []string) []finding.Finding
}

// ApplyOptions say how a plan is carried out.
type ApplyOptions struct {
	// Progress is called for each event, by several goroutines but one at a time.
	// May be nil.
	Progress func(apply.Event)
	// Parallel is the maximum number of parallel calls of steps; workers that wait
	// between two calls do not count. 0 is the default.
	Parallel int
	// AddressWait is how long a VM that was started is given to report an address through
	// its guest agent; then there is a warning. nil is apply.DefaultAddressWait; 0 does not
	// ask the agent.
	AddressWait *time.Duration
	// GuestWait is how long a guest is given to become as ordered; then that is an error.
	// nil is apply.DefaultGuestWait; 0 does not wait, and a later apply proves the guest.
	GuestWait *time.Duration
}

// Applied is the result of applying plans.
type Applied struct {
	Results []apply.Result `json:"results"`
}

// Engine plans and applies documents. Its methods may be called by several
// goroutines; each call observes the hypervisors again.
type Engine struct {
	options Options

	mu       sync.Mutex
	backends map[string]opened // by name of the Hypervisor document
}

// opened is a backend and the document that it was opened for.
type opened struct {
	spec    v1alpha1.HypervisorSpec
	backend hypervisor.Backend
}

// New makes an engine. It logs in to hypervisors only when it needs them.
func New(options Options) *Engine {
	if options.NewUUID == nil {
		options.NewUUID = randomUUID
	}
	options.Log = logging.OrSilent(options.Log)
	return &Engine{options: options, backends: map[string]opened{}}
}

// randomUUID makes a version 4 UUID (RFC 9562).
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// backend logs in to a hypervisor, and again when its document has changed.
func (e *Engine) backend(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.backends[document.Name]; ok && reflect.DeepEqual(known.spec, document.Spec) {
		return known.backend, nil
	}
	b, err := e.options.Open(ctx, documents, document)
	if err != nil {
		return nil, err
	}
	e.backends[document.Name] = opened{document.Spec, b}
	return b, nil
}
