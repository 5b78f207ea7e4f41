package place

import (
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Requirements are what one worker asks of a hypervisor.
type Requirements struct {
	Holder
	Hosts []string          // that may run it; empty: all
	Card  *CardRequirements // nil for a plain worker

	Template v1alpha1.Template
	Storage  string // for disks; "" where the template's disk is
	DiskMiB  int    // 0: as large as the template's

	NICs      []inventory.NIC
	MemoryMiB int
	Cores     int
}

// Holder is a worker and its VM. What it holds already does not stand in its own way.
type Holder struct {
	inventory.WorkerKey
	VM string // identifier; "" when it has none
}

// CardRequirements ask for one card: by its place, or by its kind.
type CardRequirements struct {
	Ref pci.CardRef // exactly this card; zero when it is asked for by its kind

	Model string
	ID    string
	Hosts []string // empty: those of the Requirements
}

// Matches reports whether the card may be the one that is asked for.
func (c CardRequirements) Matches(host string, device pci.Device) bool {
	if !c.Ref.IsZero() {
		return c.Ref == pci.CardRef{Host: host, Slot: device.Slot}
	}
	gpu, ok := device.GPU()
	if !ok || len(c.Hosts) > 0 && !slices.Contains(c.Hosts, host) {
		return false
	}
	if c.ID != "" {
		return strings.EqualFold(c.ID, gpu.ID.String())
	}
	return isModel(gpu, c.Model)
}

// isModel compares without case: the name that people use or the whole name
// from pci.ids, with or without the maker and the family in front of it. "RTX
// 3090" is a "GeForce RTX 3090", and never a "GeForce RTX 3090 Ti".
func isModel(gpu pci.Function, model string) bool {
	model = strings.ToLower(strings.Join(strings.Fields(model), " "))
	if model == "" {
		return false
	}
	for _, name := range []string{gpu.ShortName(), gpu.Name, gpu.ID.String()} {
		name = strings.ToLower("NVIDIA " + name)
		if name == model || strings.HasSuffix(name, " "+model) {
			return true
		}
	}
	return strings.ToLower(gpu.Vendor+" "+gpu.ShortName()) == model || strings.ToLower(gpu.Vendor+" "+gpu.Name) == model
}

// String says in a few words what is asked for.
func (c CardRequirements) String() string {
	switch {
	case !c.Ref.IsZero():
		return c.Ref.String()
	case c.ID != "":
		return "GPU " + c.ID
	}
	return c.Model
}

// hosts are the names of the hosts that may run the worker, in order; those of
// the whole hypervisor when the documents name none.
func (w Requirements) hosts(s *inventory.Snapshot) []string {
	allowed := w.Hosts
	if w.Card != nil && len(w.Card.Hosts) > 0 {
		allowed = w.Card.Hosts
	}
	if len(allowed) == 0 {
		for _, host := range s.Hosts {
			allowed = append(allowed, host.Name)
		}
	}
	sorted := slices.Clone(allowed)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// Placement is a place for a worker.
type Placement struct {
	Host     string
	Card     pci.CardRef // zero for a plain worker
	Model    string
	Template *inventory.VM
	Reason   string
}
