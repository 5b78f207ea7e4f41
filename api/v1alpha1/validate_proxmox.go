package v1alpha1

import (
	"regexp"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// onProxmox reports whether the pool is on Proxmox VE; known is false when its Hypervisor
// is not among the documents.
func (o *object) onProxmox(p *WorkerPool) (is, known bool) {
	h, known := o.docs.Hypervisor(p.Spec.Hypervisor)
	return known && h.Spec.Proxmox != nil, known
}

// proxmoxWorkers checks the field proxmox of a pool.
func (o *object) proxmoxWorkers(path string, p *WorkerPool) {
	options := p.Spec.Proxmox
	if options == nil {
		return
	}
	if is, known := o.onProxmox(p); known && !is {
		o.errorf(path, "the pool's Hypervisor %s is not Proxmox VE, and only Proxmox VE has these options; remove them", phrase.Quote(p.Spec.Hypervisor))
		return
	}
	if options.CPU != "" && !cpuForm.MatchString(options.CPU) {
		o.errorf(fieldpath.Under(path, "cpu"), "%s is not a CPU model; write host, or a name such as x86-64-v3, without flags", phrase.Quote(options.CPU))
	}
	oneOf(o, fieldpath.Under(path, "machineType"), options.MachineType, Q35, I440FX)
	if !p.IsGPU() {
		return // the options of the card are ignored
	}
	if options.PCIe != nil && *options.PCIe && options.MachineType == I440FX {
		o.errorf(fieldpath.Under(path, "pcie"), "PCI Express needs machine type Q35, but it is I440FX; write false, or the machine type Q35 (Proxmox would refuse to start the VM)")
	}
	if options.XVGA != nil && *options.XVGA {
		o.warnf(fieldpath.Under(path, "xVGA"), "the card becomes the only display, and the console of the VM in Proxmox stays black; compute guests do not need it")
	}
}

var cpuForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
