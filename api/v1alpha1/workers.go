package v1alpha1

import (
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// WorkerName is the name of the pool's n-th worker, counted from 1: of its VM
// and of its KubeNode.
func (p *WorkerPool) WorkerName(n int) string { return p.Name + "-" + strconv.Itoa(n) }

// Size is the number of workers that are wanted: one for each card, or
// Replicas without cards.
func (p *WorkerPool) Size() int {
	if !p.IsGPU() {
		if p.Spec.Replicas == nil {
			return 0
		}
		return max(int(*p.Spec.Replicas), 0)
	}
	size := 0
	for _, g := range p.Spec.GPUs {
		size += g.Cards()
	}
	return size
}

// IsGPU reports whether each worker of the pool has a GPU.
func (p *WorkerPool) IsGPU() bool { return len(p.Spec.GPUs) > 0 }

// Cards is the number of cards that the request asks for: one by its place, or
// Count by its kind.
func (g GPURequest) Cards() int {
	if g.BDF != "" {
		return 1
	}
	return max(int(g.Count), 1)
}

// Least is the smallest value that a number field of that name takes, as text.
func Least(field string) string {
	switch field {
	case "vmid", "first", "last":
		return strconv.Itoa(lowestVMID)
	case "memory":
		return resource.NewQuantity(leastMemory, resource.BinarySI).String()
	case "size":
		return resource.NewQuantity(mebibyte, resource.BinarySI).String()
	}
	return "1"
}
