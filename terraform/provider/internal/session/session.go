// Package session has what the resources of one provider process share: the session of
// the engine, and which workers are in the state of Terraform.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// ErrNotConfigured is the error when the configuration of the provider is not known yet.
var ErrNotConfigured = errors.New("the configuration of the provider is not known")

// Shared is shared by all resources of a provider process.
type Shared struct {
	mu         sync.Mutex
	session    *engine.Session
	hypervisor string
	configured configured
	inState    map[string]Entry
	successors map[string]bool
	unnamed    bool // a successor is planned whose name is not known yet
	planned    map[plannedOnce]bool
}

// configured is a configuration of the provider.
type configured struct {
	document *v1alpha1.Hypervisor
	login    any
}

// plannedOnce is what Terraform plans once in one run of a provider process: a change of
// an existing resource, or a creation. It plans both when it replaces a resource. The
// resource has a pool, or a card.
type plannedOnce struct {
	pool    engine.PoolKey
	card    pci.CardRef
	creates bool
}

// Entry is a worker, or a pool of workers, that is in the state of Terraform.
type Entry struct {
	Name    string           `json:"name"`
	UUID    string           `json:"uuid"`
	Workers map[string]Entry `json:"workers"` // of a pool, by name
}

// Open sets the session. Without it, the configuration of the provider is not known yet.
// login is only compared: a process for two configurations would make the workers of one
// on the hypervisor of the other, because the framework keeps only the last one.
func (s *Shared) Open(e *engine.Engine, document *v1alpha1.Hypervisor, login any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := configured{document, login}
	if s.session != nil && !reflect.DeepEqual(s.configured, now) {
		return &fault.Error{
			Kind: fault.Invalid, Where: fault.Place{Hypervisor: document.Name},
			Why: "this process of the provider already has another configuration, for " + s.configured.document.Spec.Proxmox.Endpoint,
			Fix: "with TF_REATTACH_PROVIDERS, use one provider block, and start the provider again after a change of it; without, each block has its own process",
		}
	}
	s.session, s.hypervisor, s.configured = e.NewSession(document), document.Name, now
	s.planned, s.unnamed = map[plannedOnce]bool{}, false
	return nil
}

// Plan notes that a resource with this pool is planned, and adds an error when another
// resource has the same pool: each would undo what the other does.
func (s *Shared) Plan(pool engine.PoolKey, creates bool, to *diag.Diagnostics) {
	if s.twice(plannedOnce{pool: pool, creates: creates}) {
		where := "pool " + pool.Pool
		if pool.KubeCluster != "" {
			where += " of KubeCluster " + pool.KubeCluster
		}
		to.AddError("Two resources have the same workers", where+" is in two resources; each would undo what the other does\n"+
			"→ give each its own name and pool, or remove one of them: removed { lifecycle { destroy = false } } keeps the VMs")
	}
}

// PlanMapping notes that a resource with the mapping of this card is planned, and reports
// whether another resource has it too.
func (s *Shared) PlanMapping(card pci.CardRef, creates bool) (twice bool) {
	return s.twice(plannedOnce{card: card, creates: creates})
}

// twice notes what is planned, and reports whether it was planned before.
func (s *Shared) twice(one plannedOnce) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.planned[one]
	if s.planned != nil {
		s.planned[one] = true
	}
	return before
}

// Session is the session of the engine; nil while the configuration of the provider is
// not known. Hypervisor is the name of its hypervisor.
func (s *Shared) Session() (session *engine.Session, hypervisor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session, s.hypervisor
}

// InState returns the worker or pool that is in the state, by the type and id of its resource.
func (s *Shared) InState(id string) (entry Entry, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, known = s.inState[id]
	return entry, known
}

// Remember notes that a worker or pool is in the state; Forget that it is not any more.
func (s *Shared) Remember(id string, entry Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inState == nil {
		s.inState = map[string]Entry{}
	}
	s.inState[id] = entry
}

// Forget notes that a worker or pool is not in the state any more.
func (s *Shared) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inState, id)
}

// Succeed notes that a worker or pool is planned in place of another one: Terraform plans
// its creation next, while the other one still exists.
func (s *Shared) Succeed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.successors == nil {
		s.successors = map[string]bool{}
	}
	s.successors[id] = true
}

// Succeeds reports whether the planned creation is that of a successor, and forgets it.
func (s *Shared) Succeeds(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.successors[id]
	delete(s.successors, id)
	return is
}

// SucceedUnnamed notes that a worker is planned in place of another one, and that it is not
// known yet which worker it is. SucceedsUnnamed reports whether a creation of an unknown
// worker may be that.
func (s *Shared) SucceedUnnamed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unnamed = true
}

// SucceedsUnnamed is described at SucceedUnnamed.
func (s *Shared) SucceedsUnnamed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unnamed
}

// From converts the data that the provider gives to its resources and data sources; nil
// before the provider is configured.
func From(data any, diagnostics *diag.Diagnostics) *Shared {
	if data == nil {
		return nil
	}
	shared, is := data.(*Shared)
	if !is {
		diagnostics.AddError("This is a bug in the provider", "the data of the provider have another type")
	}
	return shared
}

// Resource is a part of each resource: it gets what the resources share.
type Resource struct{ Shared *Shared }

// Configure implements resource.ResourceWithConfigure.
func (r *Resource) Configure(_ context.Context, request resource.ConfigureRequest, response *resource.ConfigureResponse) {
	r.Shared = From(request.ProviderData, &response.Diagnostics)
}

// Session is the session of the engine, and the name of its hypervisor; nil while the
// provider is not configured.
func (r *Resource) Session() (s *engine.Session, hypervisor string) {
	if r.Shared == nil {
		return nil, ""
	}
	return r.Shared.Session()
}

// server is the protocol server of the framework with all its optional parts.
type server interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
}

// watcher notes which workers are in the state. Terraform plans the replacement of a
// resource like a creation, without its state; but before, it reads each state with
// UpgradeResourceState.
type watcher struct {
	server
	shared *Shared
}

// Watch adds the notes about the state to a protocol server.
func Watch(inner tfprotov6.ProviderServer, shared *Shared) tfprotov6.ProviderServer {
	return &watcher{inner.(server), shared}
}

// UpgradeResourceState implements tfprotov6.ResourceServer.
func (w *watcher) UpgradeResourceState(ctx context.Context, request *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	if request.RawState != nil {
		var state struct {
			ID string `json:"id"`
			Entry
		}
		if err := json.Unmarshal(request.RawState.JSON, &state); err == nil && state.ID != "" {
			w.shared.Remember(request.TypeName+" "+state.ID, state.Entry)
		}
	}
	return w.server.UpgradeResourceState(ctx, request)
}
