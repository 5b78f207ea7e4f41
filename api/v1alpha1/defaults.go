package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// SetDefaults fills in what was left out, and writes addresses in their one
// canonical form. This is the only place where a default is decided; the
// schema repeats the plain ones, and a test compares the two. It may be called
// any number of times.
func SetDefaults(d *Documents) {
	for i := range d.Hypervisors {
		setHypervisorDefaults(&d.Hypervisors[i].Spec)
	}
	for i := range d.KubeClusters {
		spec := &d.KubeClusters[i].Spec
		spec.Server = strings.TrimSuffix(spec.Server, "/")
		setDefault(&spec.Distribution, RKE2)
	}
	for i := range d.WorkerPools {
		setPoolDefaults(&d.WorkerPools[i].Spec)
	}
}

// The range of VM numbers that is ours unless a Hypervisor says otherwise.
const (
	defaultFirstVMID = 9100
	defaultLastVMID  = 9899
)

func setHypervisorDefaults(spec *HypervisorSpec) {
	p := spec.Proxmox
	if p == nil {
		return
	}
	p.Endpoint = strings.TrimSuffix(p.Endpoint, "/")
	setDefault(&p.VMIDs, VMIDRange{First: defaultFirstVMID, Last: defaultLastVMID})
	setDefault(&p.Attach, AttachMapping)
}

func setPoolDefaults(spec *WorkerPoolSpec) {
	if len(spec.GPUs) > 0 || spec.Replicas == nil {
		setDefault(&spec.Lifecycle, SemiPersistent)
	} else {
		setDefault(&spec.Lifecycle, Ephemeral)
	}
	for i := range spec.GPUs {
		setGPUDefaults(&spec.GPUs[i])
	}
	setDefault(&spec.Template.Clone, CloneLinked)
	setMachineDefaults(&spec.Machine)
	setDefault(&spec.Network.Bridge, "vmbr0")
	setDefaultPointer(&spec.Passthrough.XVGA, false)
	setDefaultPointer(&spec.Passthrough.PCIe, true)
	setDefaultPointer(&spec.Passthrough.ROMBar, true)
	setDefaultPointer(&spec.OnBoot, true)
	setDefaultPointer(&spec.Protection, spec.Lifecycle == SemiPersistent)
}

func setMachineDefaults(m *Machine) {
	setDefault(&m.Cores, 4)
	if m.Memory.IsZero() {
		m.Memory = resource.MustParse("8Gi")
	}
	setDefault(&m.CPU, "host")
	setDefault(&m.Type, Q35)
	setDefault(&m.Firmware, OVMF)
}

// setGPUDefaults writes BDF and ID as the kernel does. What cannot be read is
// left for Validate.
func setGPUDefaults(g *GPURequest) {
	if bdf, err := pci.ParseBDF(g.BDF); err == nil {
		g.BDF = bdf.String()
	}
	if id, err := pci.ParseID(g.ID); err == nil {
		g.ID = id.String()
	}
	if g.BDF == "" {
		setDefault(&g.Count, 1)
	}
}

func setDefault[T comparable](value *T, fallback T) {
	if *value == *new(T) {
		*value = fallback
	}
}

func setDefaultPointer[T any](value **T, fallback T) {
	if *value == nil {
		*value = &fallback
	}
}
