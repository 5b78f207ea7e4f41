package v1alpha1

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// WorkerName returns the name of the pool's n-th worker, counted from 1. Its VM and its
// KubeNode have the same name. It is "" when spec.names has no n-th name.
func (p *WorkerPool) WorkerName(n int) string {
	switch {
	case len(p.Spec.Names) == 0:
		return p.Name + "-" + strconv.Itoa(n)
	case n < 1 || n > len(p.Spec.Names):
		return ""
	}
	return p.Spec.Names[n-1]
}

// WorkerNumber returns the n for which WorkerName(n) is name; 0 for any other name. Without
// spec.names, n may be larger than the pool.
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

// Size returns the desired number of workers: one for each card; without cards, Replicas
// or one for each name.
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

// Networks returns the network cards of each worker: as written, or one card with
// defaults.
func (p *WorkerPool) Networks() []Network {
	if len(p.Spec.Networks) == 0 {
		return []Network{{}}
	}
	return p.Spec.Networks
}

// ByPlace reports whether the request names one card by its place.
func (g GPURequest) ByPlace() bool { return g.Card != "" || g.BDF != "" }

// Place returns the place of the card that the request names; ok is false when it names
// none, or when the place cannot be parsed.
func (g GPURequest) Place() (ref pci.CardRef, ok bool) {
	if g.Card != "" {
		ref, err := pci.ParseCardRef(g.Card)
		return ref, err == nil
	}
	slot, err := pci.ParseCardSlot(g.BDF)
	return pci.CardRef{Host: g.Host, Slot: slot}, err == nil
}

// Cards returns the number of cards that the request asks for: one by place, or Count by
// model or ID.
func (g GPURequest) Cards() int {
	if g.ByPlace() {
		return 1
	}
	return max(int(g.Count), 1)
}

// Options are the options of the pool's VMs that not every hypervisor has, with defaults
// set.
type Options struct {
	CPU, MachineType   string
	OnBoot, Protection bool
	PCIe, ROMBar, XVGA bool
}

// The fields of Options in a document; plans use these names.
const (
	FieldCPU         = "proxmox.cpu"
	FieldMachineType = "proxmox.machineType"
	FieldOnBoot      = "proxmox.onBoot"
	FieldProtection  = "proxmox.protection"
	FieldPCIe        = "proxmox.pcie"
	FieldROMBar      = "proxmox.romBar"
	FieldXVGA        = "proxmox.xVGA"
)

// Options returns the options of the pool's VMs.
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

// SetOptions writes options into the fields of the pool's hypervisor.
func (p *WorkerPool) SetOptions(o Options) {
	p.Spec.Proxmox = &ProxmoxWorkers{
		CPU: o.CPU, MachineType: MachineType(strings.ToUpper(o.MachineType)), OnBoot: &o.OnBoot, Protection: &o.Protection,
		PCIe: &o.PCIe, ROMBar: &o.ROMBar, XVGA: &o.XVGA,
	}
}

// Least returns the smallest allowed value of a number field with that name, as text.
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
