package bind

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Kind is the kind of a step.
type Kind string

// The kinds of steps.
const (
	Load         Kind = "load"    // load a module
	Set          Kind = "set"     // write driver_override
	UnbindDriver Kind = "take"    // unbind a function from a driver
	BindDriver   Kind = "give"    // bind a function to a driver
	Offer        Kind = "offer"   // write drivers_probe: the kernel chooses a driver
	Put          Kind = "put"     // write a file
	Remove       Kind = "remove"  // remove a file
	Rebuild      Kind = "rebuild" // rebuild the initramfs
)

// Step is one change to the host.
type Step struct {
	Kind Kind    `json:"kind"`
	BDF  pci.BDF `json:"bdf,omitzero"`
	// Name and Data are the file and its new content.
	Name string `json:"file,omitempty"`
	Data string `json:"data,omitempty"`
	// Argv is the command of Load and Rebuild.
	Argv []string `json:"command,omitempty"`
	mode uint32
}

// String describes the step for people. Equal steps have equal descriptions.
func (s Step) String() string {
	switch s.Kind {
	case Load, Rebuild:
		return "run " + strings.Join(s.Argv, " ")
	case Put:
		return fmt.Sprintf("write the file /%s", s.Name)
	case Remove:
		return fmt.Sprintf("remove the file /%s", s.Name)
	case Set, UnbindDriver, BindDriver, Offer:
	}
	data := strings.TrimSpace(s.Data)
	if data == "" {
		data = `"\n"`
	}
	return fmt.Sprintf("write %s to /%s", data, s.Name)
}

const (
	pciDevices = "sys/bus/pci/devices"
	pciDrivers = "sys/bus/pci/drivers"
)

func setOverride(bdf pci.BDF, driver string) Step {
	return Step{Kind: Set, BDF: bdf, Name: path.Join(pciDevices, bdf.String(), "driver_override"), Data: driver + "\n"}
}

func take(bdf pci.BDF, driver string) Step {
	return Step{Kind: UnbindDriver, BDF: bdf, Name: path.Join(pciDrivers, driver, "unbind"), Data: bdf.String() + "\n"}
}

func give(bdf pci.BDF, driver string) Step {
	return Step{Kind: BindDriver, BDF: bdf, Name: path.Join(pciDrivers, driver, "bind"), Data: bdf.String() + "\n"}
}

func load(module string) Step { return Step{Kind: Load, Argv: []string{"modprobe", module}} }

// remaining returns the steps from the current state to the journal's goal, in
// order. It is empty when the goal is reached. Pure.
func remaining(j *Journal, s Seen) []Step {
	var steps []Step
	switch {
	case s.Moved != "" || j.AtBoot && j.Goal == Bound:
	case j.Goal == Bound:
		steps = toVFIO(j, s)
	default:
		steps = toBefore(j, s)
	}
	return append(steps, files(j, s)...)
}

// toVFIO binds all functions to vfio-pci, the GPU first: it is the most likely to
// fail or hang, and then no other function has changed.
func toVFIO(j *Journal, s Seen) []Step {
	var steps []Step
	for _, b := range j.Before {
		f := s.state(b.BDF)
		if f.Override != VFIO {
			steps = append(steps, setOverride(f.BDF, VFIO))
		}
		if f.Driver == VFIO {
			continue
		}
		if f.Driver != "" {
			steps = append(steps, take(f.BDF, f.Driver))
		}
		steps = append(steps, give(f.BDF, VFIO))
	}
	if len(steps) > 0 && !slices.Contains(s.Loaded, VFIO) {
		steps = append([]Step{load(VFIO)}, steps...)
	}
	return steps
}

// toBefore returns the functions to their previous drivers, in reverse order.
func toBefore(j *Journal, s Seen) []Step {
	var steps []Step
	for _, b := range slices.Backward(j.Before) {
		f := s.state(b.BDF)
		if f.Override != b.Override {
			steps = append(steps, setOverride(f.BDF, b.Override))
		}
		if f.Driver == b.Driver || b.Lost && f.Driver != VFIO && (f.Driver != "" || b.Offered) {
			continue
		}
		if f.Driver != "" {
			steps = append(steps, take(f.BDF, f.Driver))
		}
		switch {
		case b.Driver == "":
		case b.Lost:
			steps = append(steps, Step{Kind: Offer, BDF: f.BDF, Name: "sys/bus/pci/drivers_probe", Data: f.BDF.String() + "\n"})
		case !slices.Contains(s.Loaded, b.Driver):
			steps = append(steps, load(b.module()), give(f.BDF, b.Driver))
		default:
			steps = append(steps, give(f.BDF, b.Driver))
		}
	}
	return steps
}

func (b Before) module() string {
	if b.Module != "" {
		return b.Module
	}
	return b.Driver
}

// files are the steps for the next boot.
func files(j *Journal, s Seen) []Step {
	var steps []Step
	wanted := j.Goal == Bound && j.Persist
	card := File{cardFile(j.Card.Slot), FormatCard(j.Card), 0o644}
	for _, f := range append(slices.Clone(s.Mechanism.Shared), card) {
		_, there := s.Files[f.Name]
		switch {
		case wanted && !s.has(f):
			steps = append(steps, Step{Kind: Put, Name: f.Name, Data: string(f.Data), mode: uint32(f.Mode)})
		case !wanted && there && (f.Name == card.Name || !s.OtherCards):
			steps = append([]Step{{Kind: Remove, Name: f.Name}}, steps...) // the card's file first: without it the others do nothing
		}
	}
	for _, name := range s.Mechanism.Stale {
		if _, there := s.Files[name]; there && (wanted || !s.OtherCards) {
			steps = append(steps, Step{Kind: Remove, Name: name})
		}
	}
	if len(steps) > 0 || j.Rebuild {
		for _, argv := range s.Mechanism.Rebuild {
			steps = append(steps, Step{Kind: Rebuild, Argv: argv})
		}
	}
	return steps
}
