package driver

import (
	"cmp"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Request is the driver that a pool declares. What it leaves open is decided when the card
// is known: by Order. Requests can be compared.
type Request struct {
	Strategy Strategy // "" is None
	OS       OS       // of the template; "" when the document does not name it
	Branch   string
	Version  string
	Modules  Modules // "": by the card
	Toolkit  bool
	// Repository and RepositoryKey are those of Order.
	Repository, RepositoryKey string
	NVLink                    Switch
}

// Switch is a setting that the card decides unless the document does.
type Switch string

// The settings.
const (
	ByCard Switch = ""
	On     Switch = "On"
	Off    Switch = "Off"
)

// IsNone reports whether there is no driver to install or verify.
func (r Request) IsNone() bool { return cmp.Or(r.Strategy, None) == None }

// Order is the order for a worker with this GPU. With an ID that is zero or not in the
// table it is what would be installed on most cards.
//
// By default the modules are the open ones from Turing up, as NVIDIA recommends and as its
// driver is since R560; but the proprietary ones for pre-built packages of RHEL 9, which
// exist for them only.
func (r Request) Order(id pci.ID) Order {
	if r.IsNone() {
		return Order{Strategy: None}
	}
	gpu, known := Lookup(id)
	o := Order{
		Strategy: r.Strategy, Branch: cmp.Or(r.Branch, BranchOf(r.Version)), Version: r.Version,
		Toolkit: r.Toolkit, Repository: r.Repository, RepositoryKey: r.RepositoryKey,
		NoNVLink: r.NVLink == Off || r.NVLink == ByCard && gpu.SXM && r.Strategy.loadsModules(),
	}
	if r.Strategy == Packages {
		o.Branch = cmp.Or(o.Branch, DefaultBranch)
	}
	works := func(m Modules) bool { return !known || gpu.Architecture.Supports(m) }
	prebuiltProprietary := r.Strategy == Packages && r.OS.family() == rhel
	switch {
	case r.Modules != "":
		o.Open = r.Modules == Open
	case prebuiltProprietary && works(Proprietary):
	default:
		o.Open = works(Open)
		o.AnyModules = r.Strategy != Packages && works(Open) && works(Proprietary)
	}
	return o
}

// loadsModules reports whether gpuworker-guest loads the kernel modules, and so sets their
// options.
func (s Strategy) loadsModules() bool { return s == Packages || s == Preinstalled }
