package planner

import (
	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Input is everything that a plan is made from: documents with defaults set, one
// observed hypervisor, and the request of a person.
type Input struct {
	Hypervisor *v1alpha1.Hypervisor
	// Pools may include pools of other hypervisors; these are ignored.
	Pools    []v1alpha1.WorkerPool
	Snapshot *inventory.Snapshot
	// InputFindings are about the inputs of the plan, such as facts of a host that
	// does not exist. They are shown and change no decision.
	InputFindings []finding.Finding

	// Request is what a person asks for.
	Request plan.Request
	// KubeClusters are the declared ones. The plan also lists our workers in these
	// KubeClusters whose pool is not declared; when empty, those in any KubeCluster.
	KubeClusters []string
	// OtherPools are the pools of all other Hypervisor documents: a worker name in a
	// request may mean one of their workers. AliasPools are those of Hypervisor
	// documents with the endpoint of this one: their workers are visible in this
	// snapshot too, and are declared.
	OtherPools, AliasPools []*v1alpha1.WorkerPool
	// IsAlias reports whether an earlier Hypervisor document has the same endpoint.
	// The undeclared workers are then reported with that document.
	IsAlias bool
}
