package v1alpha1

import (
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// SetDefaults sets the fields that were left out, and writes addresses in canonical form.
// Defaults are defined only here; the schema repeats the simple ones, and a test compares
// both. It may be called repeatedly.
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
		pool := &d.WorkerPools[i]
		setPoolDefaults(&pool.Spec)
		if h, known := d.Hypervisor(pool.Spec.Hypervisor); !known || h.Spec.Proxmox != nil {
			setProxmoxDefaults(&pool.Spec)
		}
	}
}

// The default range of our VM numbers.
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
	setDefault(&p.ISOStorage, DefaultISOStorage)
}

func setPoolDefaults(spec *WorkerPoolSpec) {
	if len(spec.GPUs) > 0 || spec.Replicas == nil && len(spec.Names) == 0 {
		setDefault(&spec.Lifecycle, SemiPersistent)
	} else {
		setDefault(&spec.Lifecycle, Ephemeral)
	}
	for i := range spec.GPUs {
		setGPUDefaults(&spec.GPUs[i])
	}
	setDriverDefaults(spec.Driver)
	setDefault(&spec.Template.Clone, CloneLinked)
	setMachineDefaults(&spec.Machine)
	if spec.Bootstrap == nil && spec.Driver.needsGuestProgram() {
		spec.Bootstrap = &Bootstrap{}
	}
	setBootstrapDefaults(spec.Bootstrap)
	for i := range spec.Networks {
		for j, mac := range spec.Networks[i].MACs {
			if parsed, err := net.ParseMAC(mac); err == nil {
				spec.Networks[i].MACs[j] = parsed.String()
			}
		}
	}
}

// setBootstrapDefaults does nothing without a bootstrap.
func setBootstrapDefaults(b *Bootstrap) {
	if b == nil {
		return
	}
	setDefault(&b.Seed, SeedISO)
	if b.Seed == SeedProxmoxCloudInit {
		setDefault(&b.Delivery, DeliveryGuestAgent)
	} else {
		setDefault(&b.Delivery, DeliverySeedISO)
	}
	if c := b.CloudInit; c != nil {
		for i := range c.WriteFiles {
			setDefault(&c.WriteFiles[i].Permissions, "0644")
			setDefault(&c.WriteFiles[i].Owner, "root:root")
		}
		setDefault(&c.Proxy.HTTPS, c.Proxy.HTTP)
	}
	if b.Download != nil {
		b.Download.SHA256 = strings.ToLower(b.Download.SHA256)
	}
}

func setProxmoxDefaults(spec *WorkerPoolSpec) {
	if spec.Proxmox == nil {
		spec.Proxmox = &ProxmoxWorkers{}
	}
	p := spec.Proxmox
	setDefault(&p.CPU, "host")
	setDefault(&p.MachineType, Q35)
	setDefaultPointer(&p.OnBoot, true)
	setDefaultPointer(&p.Protection, spec.Lifecycle == SemiPersistent)
	setDefaultPointer(&p.PCIe, true)
	setDefaultPointer(&p.ROMBar, true)
	setDefaultPointer(&p.XVGA, false)
}

func setMachineDefaults(m *Machine) {
	setDefault(&m.Cores, 4)
	if m.Memory.IsZero() {
		m.Memory = resource.MustParse("8Gi")
	}
	setDefault(&m.Firmware, UEFI)
}

// setGPUDefaults writes places and IDs in canonical form. Validate reports those that
// cannot be parsed.
func setGPUDefaults(g *GPURequest) {
	if ref, err := pci.ParseCardRef(g.Card); err == nil {
		g.Card = ref.String()
	}
	if bdf, err := pci.ParseBDF(g.BDF); err == nil {
		g.BDF = bdf.String()
	} else if slot, err := pci.ParseCardSlot(g.BDF); err == nil {
		g.BDF = slot.At(0).String()
	}
	if id, err := pci.ParseID(g.ID); err == nil {
		g.ID = id.String()
	}
	if !g.ByPlace() {
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
