package place

import (
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Requirements are what one worker needs of a hypervisor.
type Requirements struct {
	Holder
	Hosts []string          // that may run it; empty: all hosts
	Card  *CardRequirements // nil for a plain worker

	Template v1alpha1.Template
	Storage  string // for disks; "": that of the template's disk
	DiskMiB  int    // 0: the size of the template's disk

	Seed bool // its VM gets an image with the data for cloud-init

	NICs      []inventory.NIC
	MemoryMiB int
	Cores     int
}

// Holder is a worker and its VM. What they hold already is free for this worker.
type Holder struct {
	inventory.WorkerKey
	VM string // identifier; "" when it has none
}

// CardRequirements select one card: by its place, or by model or ID.
type CardRequirements struct {
	Ref pci.CardRef // exactly this card; zero: by model or ID

	Model string
	ID    string
	Hosts []string // empty: those of the Requirements

	Driver driver.Request // must work with the card
}

// Matches reports whether a card fulfils the requirements.
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
	return gpu.IsModel(c.Model)
}

// String writes the requirements in a few words.
func (c CardRequirements) String() string {
	switch {
	case !c.Ref.IsZero():
		return c.Ref.String()
	case c.ID != "":
		return "GPU " + c.ID
	}
	return c.Model
}

// hosts are the names of the hosts that may run the worker, in order; all hosts when
// the documents name none.
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

// Placement is the place that is allocated to a worker.
type Placement struct {
	Host     string
	Card     pci.CardRef // zero for a plain worker
	Model    string
	Template *inventory.VM
	Reason   string
}
