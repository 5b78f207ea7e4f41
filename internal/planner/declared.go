package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
)

// declaredMachine is the declared VM of the pool's n-th worker. card is zero for a
// plain worker. enough is false when the pool has static addresses but none for this
// number. can has the default network.
func declaredMachine(can inventory.Capabilities, pool *v1alpha1.WorkerPool, n int, card pci.CardRef) (m inventory.Machine, enough bool) {
	spec, options := &pool.Spec, pool.Options()
	m = inventory.Machine{
		Cores:     int(spec.Machine.Cores),
		MemoryMiB: int(spec.Machine.Memory.Value() >> 20),
		CPU:       options.CPU,
		Type:      options.MachineType,
		Firmware:  firmware(spec.Machine.Firmware),
		DiskMiB:   int(spec.Machine.Disk.Size.Value() >> 20),
		Storage:   spec.Machine.Disk.Storage,
		Guest: inventory.Guest{
			User: spec.Access.User, SSHKeys: trimmed(spec.Access.SSHKeys), DNS: spec.DNS.Servers, Search: spec.DNS.Search,
		},
		OnBoot:     options.OnBoot,
		Protection: options.Protection,
		Agent:      true,
	}
	m.NICs, enough = declaredNICs(can, pool, n)
	if !card.IsZero() {
		m.Card = &inventory.Card{Ref: card, PCIe: options.PCIe, ROMBar: options.ROMBar, XVGA: options.XVGA}
	}
	return m, enough
}

// declaredNICs are the network cards of the pool's n-th worker.
func declaredNICs(can inventory.Capabilities, pool *v1alpha1.WorkerPool, n int) (nics []inventory.NIC, enough bool) {
	enough = true
	nth := func(list []string, otherwise string) string {
		switch {
		case len(list) == 0:
			return otherwise
		case n < 1 || n > len(list):
			enough = false
			return otherwise
		}
		return list[n-1]
	}
	for _, network := range pool.Networks() {
		nics = append(nics, inventory.NIC{
			Network: cmp.Or(network.Name, can.DefaultNetwork), VLAN: int(network.VLAN), Gateway: network.Gateway,
			Address: nth(network.Addresses, "dhcp"), MAC: nth(network.MACs, ""),
		})
	}
	return nics, enough
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
	return string(f)
}

func isSemiPersistent(pool *v1alpha1.WorkerPool) bool {
	return pool.Spec.Lifecycle != v1alpha1.Ephemeral
}

// declaredRecord is the record of a new worker. gpu is zero for a plain worker. Package
// apply adds UUID and By.
func declaredRecord(pool *v1alpha1.WorkerPool, worker string, gpu pci.ID) inventory.Record {
	record := inventory.Record{
		Version: inventory.RecordVersion, WorkerKey: workerKeyOf(pool, worker), Lifecycle: string(pool.Spec.Lifecycle),
		Labels: labelText(pool.Spec.Labels), Taints: taintText(pool.Spec.Taints),
	}
	if pool.UsesGuestProgram() {
		record.Driver = pool.DriverOrder(gpu).Words()
		if pool.UsesSeed() {
			record.Seed = inventory.SeedISO
		}
	}
	return record
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

// RequirementsOf are the requirements of a worker of the pool. request is nil for a
// plain worker.
func RequirementsOf(can inventory.Capabilities, pool *v1alpha1.WorkerPool, worker string, request *v1alpha1.GPURequest) place.Requirements {
	machine, _ := declaredMachine(can, pool, pool.WorkerNumber(worker), pci.CardRef{})
	w := place.Requirements{
		Holder:   place.Holder{WorkerKey: workerKeyOf(pool, worker)},
		Hosts:    pool.Spec.Hosts,
		Template: pool.Spec.Template, Storage: machine.Storage, DiskMiB: machine.DiskMiB,
		NICs: machine.NICs, MemoryMiB: machine.MemoryMiB, Cores: machine.Cores,
		Seed: pool.UsesSeed() && can.SeedISO,
	}
	if request != nil {
		card := cardRequirements(request)
		card.Driver = pool.DriverRequest()
		w.Card = &card
	}
	return w
}

func cardRequirements(request *v1alpha1.GPURequest) place.CardRequirements {
	if ref, named := request.Place(); named {
		return place.CardRequirements{Ref: ref}
	}
	return place.CardRequirements{Model: request.Model, ID: request.ID, Hosts: request.Hosts}
}
