package v1alpha1

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// WorkerName is the name of the pool's n-th worker, counted from 1, and of its VM
// and KubeNode. It is "" if the pool has a list of names with fewer than n entries.
func (p *WorkerPool) WorkerName(n int) string {
	switch {
	case len(p.Spec.Names) == 0:
		return p.Name + "-" + strconv.Itoa(n)
	case n < 1 || n > len(p.Spec.Names):
		return ""
	}
	return p.Spec.Names[n-1]
}

// WorkerNumber is the number n with WorkerName(n) == name, even if n is larger than
// the pool; 0 for any other name.
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

// Size is the number of declared workers: one for each card; without cards
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

// Networks are the network interfaces of each worker: those declared, or one in the
// default network.
func (p *WorkerPool) Networks() []Network {
	if len(p.Spec.Networks) == 0 {
		return []Network{{}}
	}
	return p.Spec.Networks
}

// ByPlace reports whether the request names one card by its place.
func (g GPURequest) ByPlace() bool { return g.Card != "" || g.BDF != "" }

// Place is the place of the card that the request names. ok is false if it names
// none, or if it cannot be parsed.
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

// Options are the options of the pool's VMs that only the pool's hypervisor has, with
// that hypervisor's values. Options that are not declared have their defaults.
type Options struct {
	CPU, MachineType   string
	OnBoot, Protection bool
	PCIe, ROMBar, XVGA bool
}

// The fields of Options in a document. Plans use the same names.
const (
	FieldCPU         = "proxmox.cpu"
	FieldMachineType = "proxmox.machineType"
	FieldOnBoot      = "proxmox.onBoot"
	FieldProtection  = "proxmox.protection"
	FieldPCIe        = "proxmox.pcie"
	FieldROMBar      = "proxmox.romBar"
	FieldXVGA        = "proxmox.xVGA"
)

// Options are the options of the pool's VMs.
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

// SetOptions writes the options into the pool, as the document spells them.
func (p *WorkerPool) SetOptions(o Options) {
	p.Spec.Proxmox = &ProxmoxWorkers{
		CPU: o.CPU, MachineType: MachineType(strings.ToUpper(o.MachineType)), OnBoot: &o.OnBoot, Protection: &o.Protection,
		PCIe: &o.PCIe, ROMBar: &o.ROMBar, XVGA: &o.XVGA,
	}
}

// Least is the smallest value that a number field of that name accepts, as text.
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
