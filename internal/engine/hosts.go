package engine

import "github.com/gpuworker/gpuworker/internal/inventory"

// HostView is one host as the front ends show it.
type HostView struct {
	Hypervisor  string          `json:"hypervisor"`
	Name        string          `json:"name"`
	Online      bool            `json:"online"`
	CPUs        int             `json:"cpus"`
	MemoryTotal int64           `json:"memoryTotal"` // bytes
	MemoryUsed  int64           `json:"memoryUsed"`  // bytes
	IOMMU       inventory.State `json:"iommu"`
	GPUs        int             `json:"gpus"`
	GPUsClaimed int             `json:"gpusClaimed"` // for workers
	Storages    []string        `json:"storages"`
	Gaps        []inventory.Gap `json:"gaps,omitempty"`
}

// HostViews returns all hosts.
func (h Hypervisor) HostViews() []HostView {
	var views []HostView
	for i := range h.Snapshot.Hosts {
		views = append(views, h.viewHost(&h.Snapshot.Hosts[i]))
	}
	return views
}

func (h Hypervisor) viewHost(host *inventory.Host) HostView {
	view := HostView{
		Hypervisor: h.Name, Name: host.Name, Online: host.Online, CPUs: host.CPUs,
		MemoryTotal: host.MemoryTotal, MemoryUsed: host.MemoryUsed, IOMMU: host.IOMMU, Gaps: host.Gaps,
		Storages: []string{},
	}
	for _, card := range host.GPUs() {
		view.GPUs++
		if claim := h.Snapshot.Claim(host.Ref(card)); claim != nil && !claim.Releasing {
			view.GPUsClaimed++
		}
	}
	for _, s := range host.Storages {
		if s.Active {
			view.Storages = append(view.Storages, s.Name)
		}
	}
	return view
}
