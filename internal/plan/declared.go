package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
)

// declaredMachine is the VM of the pool's n-th worker as the document says.
// card is zero for a plain worker. enough is false when the pool has
// static addresses and none for this number.
func declaredMachine(pool *v1alpha1.WorkerPool, n int, card pci.CardRef) (m inventory.Machine, enough bool) {
	spec := &pool.Spec
	m = inventory.Machine{
		Cores:      int(spec.Machine.Cores),
		MemoryMiB:  int(spec.Machine.Memory.Value() >> 20),
		CPU:        spec.Machine.CPU,
		Type:       strings.ToLower(string(spec.Machine.Type)),
		Firmware:   firmware(spec.Machine.Firmware),
		DiskMiB:    int(spec.Machine.Disk.Size.Value() >> 20),
		Storage:    spec.Machine.Disk.Storage,
		NIC:        inventory.NIC{Bridge: spec.Network.Bridge, VLAN: int(spec.Network.VLAN)},
		OnBoot:     isTrue(spec.OnBoot, true),
		Protection: isTrue(spec.Protection, isSemiPersistent(pool)),
		Agent:      true,
	}
	m.Guest, enough = declaredGuest(spec, n)
	if !card.IsZero() {
		m.Card = &inventory.Card{
			Ref: card, PCIe: isTrue(spec.Passthrough.PCIe, true),
			ROMBar: isTrue(spec.Passthrough.ROMBar, true), XVGA: isTrue(spec.Passthrough.XVGA, false),
		}
	}
	return m, enough
}

func declaredGuest(spec *v1alpha1.WorkerPoolSpec, n int) (g inventory.Guest, enough bool) {
	g = inventory.Guest{
		User: spec.Access.User, SSHKeys: trimmed(spec.Access.SSHKeys), Address: "dhcp",
		DNS: spec.Network.DNS.Servers, Search: spec.Network.DNS.Search,
	}
	if len(spec.Network.Addresses) == 0 {
		return g, true
	}
	g.Gateway = spec.Network.Gateway
	if n < 1 || n > len(spec.Network.Addresses) {
		return g, false
	}
	g.Address = spec.Network.Addresses[n-1]
	return g, true
}

// trimmed leaves out empty lines and the space around keys, as cloud-init does.
func trimmed(lines []string) []string {
	var kept []string
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

func firmware(f v1alpha1.Firmware) string {
	if f == v1alpha1.FirmwareTemplate {
		return ""
	}
	return strings.ToLower(string(f))
}

func isTrue(value *bool, fallback bool) bool {
	if value == nil {
		return fallback
	}
	return *value
}

func isSemiPersistent(pool *v1alpha1.WorkerPool) bool {
	return pool.Spec.Lifecycle != v1alpha1.Ephemeral
}

// declaredRecord is the note of a new worker. Apply adds UUID and By.
func declaredRecord(pool *v1alpha1.WorkerPool, worker string) inventory.Record {
	return inventory.Record{
		Version: inventory.RecordVersion, WorkerKey: workerKeyOf(pool, worker), Lifecycle: string(pool.Spec.Lifecycle),
		Labels: labelText(pool.Spec.Labels), Taints: taintText(pool.Spec.Taints),
	}
}

// labelText writes labels as "a=b,c=d", sorted.
func labelText(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

// taintText writes taints as kubectl does, "key=value:Effect", sorted.
func taintText(taints []v1alpha1.Taint) string {
	var parts []string
	for _, t := range taints {
		if t.Value == "" {
			parts = append(parts, fmt.Sprintf("%s:%s", t.Key, t.Effect))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s=%s:%s", t.Key, t.Value, t.Effect))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// RequirementsOf is what a worker of the pool asks of the hypervisor. request is nil for a
// plain worker.
func RequirementsOf(pool *v1alpha1.WorkerPool, worker string, request *v1alpha1.GPURequest) place.Requirements {
	machine, _ := declaredMachine(pool, numberOf(pool.Name, worker), pci.CardRef{})
	w := place.Requirements{
		Holder:   place.Holder{WorkerKey: workerKeyOf(pool, worker)},
		Hosts:    pool.Spec.Hosts,
		Template: pool.Spec.Template, Storage: machine.Storage, DiskMiB: machine.DiskMiB,
		NIC: machine.NIC, MemoryMiB: machine.MemoryMiB, Cores: machine.Cores,
	}
	if request != nil {
		card := cardRequirements(request)
		w.Card = &card
	}
	return w
}

func cardRequirements(request *v1alpha1.GPURequest) place.CardRequirements {
	if bdf, err := pci.ParseBDF(request.BDF); err == nil {
		return place.CardRequirements{Ref: pci.CardRef{Host: request.Host, Slot: bdf.Slot}}
	}
	return place.CardRequirements{Model: request.Model, ID: request.ID, Hosts: request.Hosts}
}
