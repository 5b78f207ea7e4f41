// Package engine is the one package that front ends import: it joins documents,
// a backend for each hypervisor, and the pure middle into the verbs of the
// product. It prints nothing and knows no flags.
package engine

import (
	"context"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Backend is one hypervisor, seen and changed.
type Backend interface {
	inventory.Source
	apply.Target
}

// RoleWriter is a backend that can print how to make a least-privilege login.
type RoleWriter interface {
	// Role writes the commands for a person to run, with reasons as comments.
	// version is that of the hypervisor, "" for the newest known.
	Role(version string, scope inventory.Scope) string
}

// Options are what an engine works with.
type Options struct {
	// Documents are decoded, defaulted and valid.
	Documents *v1alpha1.Documents
	// Open logs in to a hypervisor.
	Open func(ctx context.Context, hypervisor *v1alpha1.Hypervisor) (Backend, error)
	// By names who runs this, "user@machine", for claims.
	By string
	// NewUUID makes identities for new VMs; nil takes random ones.
	NewUUID func() string
}

// World is one hypervisor of the documents, as observed.
type World struct {
	Hypervisor string
	Snapshot   *inventory.Snapshot
	Findings   []finding.Finding // of Check; nil otherwise
}

// PlanOptions are what a person allows.
type PlanOptions struct {
	// AllowRestart lets running semi-persistent workers be stopped and started.
	AllowRestart bool
	// AllOrNothing refuses the whole plan when one worker is refused.
	AllOrNothing bool
}

// ApplyOptions say how a plan is carried out.
type ApplyOptions struct {
	// Progress is told each event, from several goroutines but never at once.
	// May be nil.
	Progress func(apply.Event)
	// Parallel bounds the workers in work at once; 0 takes the default.
	Parallel int
}

// Applied is what became of plans.
type Applied struct {
	Results []apply.Result `json:"results"`
}

// Plans are the plans of all hypervisors of the documents.
type Plans []*plan.Plan
