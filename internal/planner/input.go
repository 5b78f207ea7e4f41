package planner

import (
	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Input is what a plan is made from: documents with defaults set, one observed
// hypervisor, and what a person asks for.
type Input struct {
	Hypervisor *v1alpha1.Hypervisor
	// Pools may hold those of other hypervisors too; they are left out.
	Pools    []v1alpha1.WorkerPool
	Snapshot *inventory.Snapshot
	// Given is what was found about what the plan is made with, such as facts of a host
	// that does not exist. It is told and decides nothing.
	Given []finding.Finding

	// Request is what a person asks for.
	Request plan.Request
	// KubeClusters are those that the documents declare. Workers of ours in these,
	// of pools that are not declared, are in the plan too; with none, all of ours.
	KubeClusters []string
	// Others are the pools of other Hypervisor documents: a person who names a
	// worker of theirs does not mean one of the same name here. Beside are those
	// whose Hypervisor is this cluster under another name: their workers are seen
	// here too, and they are declared.
	Others, Beside []*v1alpha1.WorkerPool
	// Second says that a Hypervisor document before this one is the same cluster:
	// that one tells of the workers that nothing declares.
	Second bool
}
