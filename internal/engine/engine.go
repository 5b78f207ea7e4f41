// Package engine is the one package that front ends import: it joins documents,
// a backend for each hypervisor, and the pure middle into the verbs of the
// product: one entry to plan, one to apply, and the reports. Documents are
// arguments, decoded, defaulted and valid. It prints nothing and knows no flags.
package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/logging"
)

// RoleWriter is a backend that can print how to make a least-privilege login.
type RoleWriter interface {
	// Role writes the commands for a person to run, with reasons as comments.
	// version is that of the hypervisor, "" for the newest known.
	Role(version string, scope hypervisor.Scope) string
}

// Options are what an engine works with.
type Options struct {
	// Open logs in to a hypervisor of the documents.
	Open func(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error)
	// By names who runs this, "user@machine", for claims.
	By string
	// NewUUID makes identities for new VMs; nil takes random ones.
	NewUUID func() string
	// Facts lets hosts speak for themselves; may be nil.
	Facts FactSource
	// Log is told what is looked at and changed; nil is silent.
	Log *slog.Logger
}

// FactSource knows what hosts say of themselves.
type FactSource interface {
	// Facts are those of the hosts, by name. One that could not be asked is there
	// with the reason, one that nobody knows how to ask is not.
	Facts(ctx context.Context, hosts []*inventory.Host) map[string]*inventory.Facts
	// Unused tells what it knows of none of these, the hosts of all hypervisors.
	Unused(hosts []string) []finding.Finding
}

// ApplyOptions say how a plan is carried out.
type ApplyOptions struct {
	// Progress is told each event, from several goroutines but never at once.
	// May be nil.
	Progress func(apply.Event)
	// Parallel bounds the steps that are done at once, those of workers that wait left
	// out; 0 takes the default.
	Parallel int
}

// Applied is what became of plans.
type Applied struct {
	Results []apply.Result `json:"results"`
}

// Engine joins documents and hypervisors. Its methods may be called by several
// goroutines; each looks at the world anew.
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

// New makes an engine. It logs in nowhere yet.
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
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// backend logs in to a hypervisor, once for each form of its document.
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
