package v1alpha1

// Documents are the documents of the operator, in the order in which they were read.
type Documents struct {
	Hypervisors  []Hypervisor
	KubeClusters []KubeCluster
	WorkerPools  []WorkerPool
}

// Hypervisor returns the Hypervisor document of that name.
func (d *Documents) Hypervisor(name string) (h *Hypervisor, ok bool) {
	for i := range d.Hypervisors {
		if d.Hypervisors[i].Name == name {
			return &d.Hypervisors[i], true
		}
	}
	return nil, false
}

// KubeCluster returns the KubeCluster document of that name.
func (d *Documents) KubeCluster(name string) (k *KubeCluster, ok bool) {
	for i := range d.KubeClusters {
		if d.KubeClusters[i].Name == name {
			return &d.KubeClusters[i], true
		}
	}
	return nil, false
}

// WorkerPool returns the WorkerPool document of that name.
func (d *Documents) WorkerPool(name string) (p *WorkerPool, ok bool) {
	for i := range d.WorkerPools {
		if d.WorkerPools[i].Name == name {
			return &d.WorkerPools[i], true
		}
	}
	return nil, false
}

// Pools returns all WorkerPools, in the order of the documents.
func (d *Documents) Pools() []*WorkerPool {
	pools := make([]*WorkerPool, len(d.WorkerPools))
	for i := range d.WorkerPools {
		pools[i] = &d.WorkerPools[i]
	}
	return pools
}

// PoolsOn returns the WorkerPools on the named Hypervisor, in the order of the documents.
func (d *Documents) PoolsOn(hypervisor string) []*WorkerPool {
	var pools []*WorkerPool
	for _, p := range d.Pools() {
		if p.Spec.Hypervisor == hypervisor {
			pools = append(pools, p)
		}
	}
	return pools
}
