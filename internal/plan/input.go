package plan

import (
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
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
	Request Request
	// KubeClusters are those that the documents declare. Workers of ours in these,
	// of pools that are not declared, are in the plan too; with none, all of ours.
	KubeClusters []string
	// Elsewhere are the pools of other Hypervisor documents: a person who names a
	// worker of theirs does not mean one of the same name here. Beside are those
	// whose Hypervisor is this cluster under another name: their workers are seen
	// here too, and they are declared.
	Elsewhere, Beside []*v1alpha1.WorkerPool
	// Second says that a Hypervisor document before this one is the same cluster:
	// that one tells of the workers that nothing declares.
	Second bool
}

// pools are the pools of this hypervisor.
func (in Input) pools() []*v1alpha1.WorkerPool {
	var pools []*v1alpha1.WorkerPool
	for i := range in.Pools {
		if in.Hypervisor == nil || in.Pools[i].Spec.Hypervisor == in.Hypervisor.Name {
			pools = append(pools, &in.Pools[i])
		}
	}
	return pools
}

// pool finds the pool that a record speaks of; nil when none is declared.
func (in Input) pool(r *inventory.Record) *v1alpha1.WorkerPool {
	for _, p := range in.pools() {
		if p.Name == r.Pool && p.Spec.KubeCluster == r.KubeCluster {
			return p
		}
	}
	return nil
}

// poolOf finds the declared pool that a worker's name belongs to; nil when none
// does.
func (in Input) poolOf(worker string) *v1alpha1.WorkerPool {
	for _, pool := range in.pools() {
		if numberOf(pool.Name, worker) > 0 {
			return pool
		}
	}
	return nil
}

// declares reports whether the documents speak of the KubeCluster.
func (in Input) declares(kubeCluster string) bool {
	return len(in.KubeClusters) == 0 || slices.Contains(in.KubeClusters, kubeCluster)
}

// toldBeside reports whether another Hypervisor document of the same cluster
// answers for a worker: it declares its pool, or comes first and nothing here does.
func (in Input) toldBeside(r *inventory.Record) bool {
	beside := slices.ContainsFunc(in.Beside, func(p *v1alpha1.WorkerPool) bool { return p.Name == r.Pool && p.Spec.KubeCluster == r.KubeCluster })
	return beside || in.Second && in.pool(r) == nil
}

// meantElsewhere reports whether a name is that of a worker of another
// hypervisor's pool, and of no pool here.
func (in Input) meantElsewhere(worker string) bool {
	named := func(p *v1alpha1.WorkerPool) bool { return numberOf(p.Name, worker) > 0 }
	return slices.ContainsFunc(in.Elsewhere, named) && !slices.ContainsFunc(in.pools(), named)
}
