package plan

import (
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Input is what a plan is made from: documents with defaults set, one observed
// hypervisor, and what a person allowed.
type Input struct {
	Hypervisor *v1alpha1.Hypervisor
	// Pools may hold those of other hypervisors too; they are left out.
	Pools    []v1alpha1.WorkerPool
	Snapshot *inventory.Snapshot
	// Given is what was found about what the plan is made with, such as facts of a host
	// that does not exist. It is told and decides nothing.
	Given []finding.Finding

	// AllowRestart lets running semi-persistent workers be stopped and started.
	AllowRestart bool
	// KubeClusters are those that the documents declare. Workers of ours in these,
	// of pools that are not declared, are in the plan too; with none, all of ours.
	KubeClusters []string
	// Replace says which workers are to be destroyed and made anew; nil for none.
	Replace *Replacement
	// AllOrNothing has the plan do nothing when one worker is refused.
	AllOrNothing bool
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

// vmids is the range of numbers for new VMs.
func (in Input) vmids() v1alpha1.VMIDRange {
	if in.Hypervisor == nil || in.Hypervisor.Spec.Proxmox == nil {
		return v1alpha1.VMIDRange{}
	}
	return in.Hypervisor.Spec.Proxmox.VMIDs
}

func (in Input) resourcePool() string {
	if in.Hypervisor == nil || in.Hypervisor.Spec.Proxmox == nil {
		return ""
	}
	return in.Hypervisor.Spec.Proxmox.ResourcePool
}

// declares reports whether the documents speak of the KubeCluster.
func (in Input) declares(kubeCluster string) bool {
	return len(in.KubeClusters) == 0 || slices.Contains(in.KubeClusters, kubeCluster)
}
