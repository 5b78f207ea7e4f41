// Package finding has the results of checks and the reasons of refusals. A Finding says
// whether one thing in one place passes, fails or is unknown, why, and what to do. Every
// finding has a stable ID that `gpuworker explain` explains.
package finding

import (
	"cmp"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// ID names a kind of finding. It never changes: documents, tickets and alerts refer to it.
type ID string

// Verdict is the result of a check.
type Verdict string

// The verdicts. Unknown means that it could not be checked; it is never a pass.
const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown"
	Info    Verdict = "info"
)

// Layer is the part of the stack that a finding is about. Layers are reported from the
// bottom: a higher layer can only be judged when the lower ones work.
type Layer string

// The layers, from the bottom.
const (
	LayerAPI    Layer = "api"    // reach and version of the hypervisor's API
	LayerAccess Layer = "access" // login and privileges
	LayerHost   Layer = "host"   // hosts and their IOMMU

	// Layers of a Linux host, which the host tool checks. Each depends on the ones
	// before it.
	LayerFirmware Layer = "firmware"
	LayerKernel   Layer = "kernel"   // its command line and the effect of it
	LayerModules  Layer = "modules"  // VFIO
	LayerGroup    Layer = "group"    // the card's IOMMU group
	LayerOwner    Layer = "owner"    // drivers, VMs and programs that have the card
	LayerWindow   Layer = "window"   // the card's memory windows (BARs), the framebuffer
	LayerReset    Layer = "reset"    // reset and power
	LayerMemory   Layer = "memory"   // the host's memory and its NUMA nodes
	LayerIdentity Layer = "identity" // whether it is still the same card

	LayerCard     Layer = "card"     // GPUs, their groups and holders
	LayerTemplate Layer = "template" // templates to clone
	LayerStorage  Layer = "storage"
	LayerNetwork  Layer = "network"
	LayerCapacity Layer = "capacity" // memory, VM numbers
	LayerVM       Layer = "vm"       // VMs that exist already

	// Layers of a guest, which gpuworker-guest checks.
	LayerGuest  Layer = "guest"  // the guest itself and its card
	LayerDriver Layer = "driver" // NVIDIA's driver in the guest
)

// Layers lists all layers from the bottom.
var Layers = []Layer{
	LayerAPI, LayerAccess, LayerHost,
	LayerFirmware, LayerKernel, LayerModules, LayerGroup, LayerOwner, LayerWindow, LayerReset, LayerMemory, LayerIdentity,
	LayerCard, LayerTemplate, LayerStorage, LayerNetwork, LayerCapacity, LayerVM,
	LayerGuest, LayerDriver,
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

// New returns a finding in the layer of its kind. An ID without a kind has no layer; a
// test refuses such IDs.
func New(id ID, verdict Verdict, where fault.Place) Finding {
	return Finding{Verdict: verdict, Where: where}.As(id)
}

// As returns the finding with another ID, in the layer of that ID.
func (f Finding) As(id ID) Finding {
	f.ID, f.Layer = id, ""
	if kind := rowOf[id]; kind != nil {
		f.Layer = kind.Layer
	}
	return f
}

// WithReason returns the finding with the reason for its verdict.
func (f Finding) WithReason(reason string) Finding {
	f.Reason = reason
	return f
}

// WithFix returns the finding with what to do about it.
func (f Finding) WithFix(fix string) Finding {
	f.Fix = fix
	return f
}

// Blocks reports whether the finding blocks a worker. Unknown blocks too, unless its kind
// says otherwise.
func (f Finding) Blocks() bool {
	if f.Verdict == Unknown {
		kind := rowOf[f.ID] // nil for an ID of a newer host or guest tool
		return kind != nil && !kind.UnknownPasses
	}
	return f.Verdict == Fail
}

// AboutVMs reports whether the hypervisor knows this better than the host itself.
func (f Finding) AboutVMs() bool {
	kind := rowOf[f.ID]
	return kind != nil && kind.AboutVMs
}

// Rank returns the rank of the finding's kind.
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
