// Package finding is the language of checks and refusals: one Finding says of
// one thing in one place whether it passes, fails or could not be seen, why,
// and what to do. Every finding has a stable ID that `gpuworker explain` knows.
package finding

import (
	"cmp"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// ID names a kind of finding for ever: documents, tickets and alerts refer to it.
type ID string

// Verdict is what a check concluded.
type Verdict string

// The verdicts. Unknown is never Pass: it says that nobody could look.
const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown"
	Info    Verdict = "info"
)

// Layer is where in the stack a finding belongs. Layers are reported in this
// order: what is lower must be well before what is higher can be judged.
type Layer string

// The layers, from the bottom.
const (
	LayerAPI    Layer = "api"    // reach and version of the hypervisor's API
	LayerAccess Layer = "access" // login and privileges
	LayerHost   Layer = "host"   // hosts and their IOMMU

	// What the host tool sees of a Linux host, in the order in which one thing
	// needs the other.
	LayerFirmware Layer = "firmware"
	LayerKernel   Layer = "kernel"   // its command line and what it made of it
	LayerModules  Layer = "modules"  // VFIO
	LayerGroup    Layer = "group"    // what cannot be kept apart from the card
	LayerOwner    Layer = "owner"    // drivers, VMs and programs that have the card
	LayerWindow   Layer = "window"   // the card's memory windows (BARs), the framebuffer
	LayerReset    Layer = "reset"    // reset and power
	LayerMemory   Layer = "memory"   // the host's memory and where it is
	LayerIdentity Layer = "identity" // is it still the same card

	LayerCard     Layer = "card"     // GPUs, their groups and holders
	LayerTemplate Layer = "template" // templates to clone
	LayerStorage  Layer = "storage"
	LayerNetwork  Layer = "network"
	LayerCapacity Layer = "capacity" // memory, VM numbers
	LayerVM       Layer = "vm"       // VMs that exist already
)

// Layers lists all layers from the bottom.
var Layers = []Layer{
	LayerAPI, LayerAccess, LayerHost,
	LayerFirmware, LayerKernel, LayerModules, LayerGroup, LayerOwner, LayerWindow, LayerReset, LayerMemory, LayerIdentity,
	LayerCard, LayerTemplate, LayerStorage, LayerNetwork, LayerCapacity, LayerVM,
}

// Finding is one conclusion about one thing in one place.
type Finding struct {
	ID      ID          `json:"id"`
	Verdict Verdict     `json:"verdict"`
	Layer   Layer       `json:"layer"`
	Where   fault.Place `json:"where"`
	Reason  string      `json:"reason"`
	Fix     string      `json:"fix,omitempty"`
}

// New makes a finding; its layer is that of its kind. An ID without a kind has no
// layer, which the tests refuse.
func New(id ID, verdict Verdict, where fault.Place) Finding {
	return Finding{Verdict: verdict, Where: where}.As(id)
}

// As is the finding with another ID, in the layer of that one.
func (f Finding) As(id ID) Finding {
	f.ID, f.Layer = id, ""
	if kind := rowOf[id]; kind != nil {
		f.Layer = kind.Layer
	}
	return f
}

// WithReason is the finding with the reason for its verdict.
func (f Finding) WithReason(reason string) Finding {
	f.Reason = reason
	return f
}

// WithFix is the finding with what to do about it.
func (f Finding) WithFix(fix string) Finding {
	f.Fix = fix
	return f
}

// Blocks reports whether the finding stands in a worker's way. What is unknown
// blocks too, unless its kind says otherwise.
func (f Finding) Blocks() bool {
	if f.Verdict == Unknown {
		kind := rowOf[f.ID] // nil for what a newer host tool found
		return kind != nil && !kind.UnknownPasses
	}
	return f.Verdict == Fail
}

// AboutVMs reports whether the finding is one that a hypervisor knows better than
// its host.
func (f Finding) AboutVMs() bool {
	kind := rowOf[f.ID]
	return kind != nil && kind.AboutVMs
}

// Rank is that of the finding's kind.
func (f Finding) Rank() Rank {
	if kind := rowOf[f.ID]; kind != nil {
		return kind.Rank
	}
	return Fixable
}

// Sort orders findings by layer, host, card, VM and ID.
func Sort(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Layers, a.Layer), slices.Index(Layers, b.Layer)),
			cmp.Compare(a.Where.Host, b.Where.Host),
			a.Where.Card.Compare(b.Where.Card),
			cmp.Compare(len(a.Where.VM), len(b.Where.VM)), // numbers by their value
			cmp.Compare(a.Where.VM, b.Where.VM),
			cmp.Compare(a.Where.Worker, b.Where.Worker),
			cmp.Compare(a.ID, b.ID),
		)
	})
}

// Failed reports whether any finding fails.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Verdict == Fail })
}
