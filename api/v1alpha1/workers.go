package v1alpha1

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// WorkerName is the name of the pool's n-th worker, counted from 1: of its VM
// and of its KubeNode. It is "" when the pool names its workers and has no n-th.
func (p *WorkerPool) WorkerName(n int) string {
	switch {
	case len(p.Spec.Names) == 0:
		return p.Name + "-" + strconv.Itoa(n)
	case n < 1 || n > len(p.Spec.Names):
		return ""
	}
	return p.Spec.Names[n-1]
}

// WorkerNumber is n of the worker that WorkerName(n) names, however many the pool
// has; 0 for any other name.
func (p *WorkerPool) WorkerNumber(name string) int {
	if len(p.Spec.Names) > 0 {
		return slices.Index(p.Spec.Names, name) + 1
	}
	digits, found := strings.CutPrefix(name, p.Name+"-")
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 1 || strconv.Itoa(n) != digits {
		return 0
	}
	return n
}

// Size is the number of workers that are wanted: one for each card; without cards
// Replicas, or one for each name.
func (p *WorkerPool) Size() int {
	switch {
	case p.IsGPU():
	case p.Spec.Replicas == nil:
		return len(p.Spec.Names)
	default:
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

// Networks are the network cards of each worker: as written, or the one that every
// VM has.
func (p *WorkerPool) Networks() []Network {
	if len(p.Spec.Networks) == 0 {
		return []Network{{}}
	}
	return p.Spec.Networks
}

// ByPlace reports whether the request names one card by its place.
func (g GPURequest) ByPlace() bool { return g.Card != "" || g.BDF != "" }

// Place is the place of the card that the request names; ok is false when it names
// none, or not in a way that can be read.
func (g GPURequest) Place() (ref pci.CardRef, ok bool) {
	if g.Card != "" {
		ref, err := pci.ParseCardRef(g.Card)
		return ref, err == nil
	}
	slot, err := pci.ParseCardSlot(g.BDF)
	return pci.CardRef{Host: g.Host, Slot: slot}, err == nil
}

// Cards is the number of cards that the request asks for: one by its place, or
// Count by its kind.
func (g GPURequest) Cards() int {
	if g.ByPlace() {
		return 1
	}
	return max(int(g.Count), 1)
}

// Options are the options of the pool's VMs that not every hypervisor has, in the
// words of the one that the pool lives on. Each has its default where it was left
// out.
type Options struct {
	CPU, MachineType   string
	OnBoot, Protection bool
	PCIe, ROMBar, XVGA bool
}

// The fields of Options in a document, as plans name them.
const (
	FieldCPU         = "proxmox.cpu"
	FieldMachineType = "proxmox.machineType"
	FieldOnBoot      = "proxmox.onBoot"
	FieldProtection  = "proxmox.protection"
	FieldPCIe        = "proxmox.pcie"
	FieldROMBar      = "proxmox.romBar"
	FieldXVGA        = "proxmox.xVGA"
)

// Options are those of the pool's VMs.
func (p *WorkerPool) Options() Options {
	spec := p.Spec
	if spec.Proxmox == nil {
		spec.Proxmox = &ProxmoxWorkers{}
	} else {
		written := *spec.Proxmox
		spec.Proxmox = &written
	}
	setProxmoxDefaults(&spec)
	o := spec.Proxmox
	return Options{
		CPU: o.CPU, MachineType: strings.ToLower(string(o.MachineType)), OnBoot: *o.OnBoot, Protection: *o.Protection,
		PCIe: *o.PCIe, ROMBar: *o.ROMBar, XVGA: *o.XVGA,
	}
}

// SetOptions writes them into the pool, in the words of the hypervisor that has them.
func (p *WorkerPool) SetOptions(o Options) {
	p.Spec.Proxmox = &ProxmoxWorkers{
		CPU: o.CPU, MachineType: MachineType(strings.ToUpper(o.MachineType)), OnBoot: &o.OnBoot, Protection: &o.Protection,
		PCIe: &o.PCIe, ROMBar: &o.ROMBar, XVGA: &o.XVGA,
	}
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
