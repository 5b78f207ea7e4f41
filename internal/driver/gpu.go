package driver

import (
	"slices"
	"sync"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Architecture is the generation of a GPU. It decides which kernel modules and which
// branches of the driver work.
type Architecture string

// The architectures, from the oldest.
const (
	Maxwell   Architecture = "Maxwell"
	Pascal    Architecture = "Pascal"
	Volta     Architecture = "Volta"
	Turing    Architecture = "Turing"
	Ampere    Architecture = "Ampere"
	Ada       Architecture = "Ada"
	Hopper    Architecture = "Hopper"
	Blackwell Architecture = "Blackwell"
)

// support is what works with an architecture. Branches are numbers; 0 means no limit
// among the branches that this package knows.
//
// Sources: NVIDIA, "CUDA Toolkit, Driver, and Architecture Matrix"
// (docs.nvidia.com/datacenter/tesla/drivers): the last branch, and the first CUDA Toolkit
// of Blackwell, 12.8, which came with R570. NVIDIA Technical Blog, "NVIDIA Transitions
// Fully Towards Open-Source GPU Kernel Modules": which modules work.
type support struct {
	open, proprietary bool
	first, last       int
}

var supports = map[Architecture]support{
	Maxwell:   {proprietary: true, last: 580},
	Pascal:    {proprietary: true, last: 580},
	Volta:     {proprietary: true, last: 580},
	Turing:    {open: true, proprietary: true},
	Ampere:    {open: true, proprietary: true},
	Ada:       {open: true, proprietary: true},
	Hopper:    {open: true, proprietary: true},
	Blackwell: {open: true, first: 570},
}

// Supports reports whether these kernel modules work with the architecture. It is false
// for an unknown one.
func (a Architecture) Supports(m Modules) bool {
	return m == Open && supports[a].open || m == Proprietary && supports[a].proprietary
}

// GPU is a model of GPU.
type GPU struct {
	ID           pci.ID
	Chip         string // "TU104GL"
	Name         string // short name in pci.ids, "Tesla T4"
	Architecture Architecture
	// SXM reports whether it is a module of a board whose GPUs are connected by NVLink.
	SXM bool
	// First and Last are the first and the last branch that have the GPU; 0 for no limit.
	First, Last int
}

// String is name and ID, as messages write them.
func (g GPU) String() string { return g.Name + " (" + g.ID.String() + ")" }

// row is one row of the table.
//
// Device IDs, chips and names are those of pci.ids, version 2026.07.31, as in
// github.com/NVIDIA/go-nvlib v0.13.0. The letters of the chip are the architecture: GM
// Maxwell, GP Pascal, GV Volta, TU Turing, GA Ampere, AD Ada, GH Hopper, GB Blackwell. It
// has the cards for servers and workstations and the GeForce cards for desktops; no
// notebooks, no Grace superchips, which are no cards, and no NVSwitch.
type row struct {
	device       uint16
	architecture Architecture
	chip, name   string
	form         form
}

type form bool

const (
	pcie form = false
	sxm  form = true
)

// firstOfChip is the first branch of chips that are newer than their architecture: GB110
// (B300) has compute capability 10.3, new in CUDA 12.9 of R575; the next branch for data
// centres was R580.
var firstOfChip = map[string]int{"GB110": 580}

var table = sync.OnceValue(func() map[pci.ID]GPU {
	gpus := map[pci.ID]GPU{}
	for _, r := range slices.Concat(olderGPUs, newerGPUs) {
		limits := supports[r.architecture]
		g := GPU{
			ID: pci.ID{Vendor: pci.VendorNVIDIA, Device: r.device}, Chip: r.chip, Name: r.name, Architecture: r.architecture,
			SXM: r.form == sxm, First: max(limits.first, firstOfChip[r.chip]), Last: limits.last,
		}
		gpus[g.ID] = g
	}
	return gpus
})

// Lookup finds a model. ok is false for an ID that is not in the table: nothing is known
// about such a GPU, which is a warning and never a pass.
func Lookup(id pci.ID) (gpu GPU, ok bool) {
	gpu, ok = table()[id]
	return gpu, ok
}

// ByModel finds the models with a name, as spec.gpus[].model selects cards, in the order
// of their IDs.
func ByModel(model string) []GPU {
	var found []GPU
	for _, g := range table() {
		if (pci.Function{ID: g.ID, Vendor: "NVIDIA Corporation", Name: g.Chip + " [" + g.Name + "]"}).IsModel(model) {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b GPU) int { return int(a.ID.Device) - int(b.ID.Device) })
	return found
}
