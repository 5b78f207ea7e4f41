package bind

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// VFIO is the driver that hands devices to virtual machines.
const VFIO = "vfio-pci"

// State is the current driver and override of a function.
type State struct {
	BDF      pci.BDF
	Driver   string
	Override string
}

// Seen is the current state that the steps depend on.
type Seen struct {
	Functions []State
	// Loaded are the PCI drivers that are loaded.
	Loaded []string
	// Files are the files of gpuworker-host that exist, with their contents.
	Files map[string][]byte
	// OtherCards reports whether other cards are bound at boot too.
	OtherCards bool
	Mechanism  Mechanism
	// Moved says how the device at the card's address differs from the card of the
	// journal. If it is not "", drivers are not touched.
	Moved string
}

// see reads the state that a card's steps depend on.
func see(tree, files hosttree.Reader, card Card) (Seen, error) {
	host, err := hostpci.ReadSlot(tree, card.Slot)
	if err != nil {
		return Seen{}, err
	}
	s := seeFiles(tree, files, card.Slot)
	now := hostpci.Card{Slot: card.Slot, Functions: host.Slot(card.Slot)}
	s.Moved = card.Differs(Fingerprint(tree, now))
	for _, f := range now.Functions {
		s.Functions = append(s.Functions, State{f.BDF, f.Driver, f.Override})
	}
	if s.Loaded, err = tree.ReadDir(pciDrivers); errors.Is(err, fs.ErrNotExist) {
		err = nil // a captured host may lack them
	}
	return s, err
}

// seeFiles reads the files only, because a stuck device must not be read.
func seeFiles(tree, files hosttree.Reader, slot pci.Slot) Seen {
	s := Seen{Files: map[string][]byte{}, Mechanism: FindMechanism(tree)}
	for _, name := range s.owned(slot) {
		if data, err := files.ReadFile(name); err == nil {
			s.Files[name] = data
		}
	}
	names, _ := files.ReadDir(cardsDir)
	s.OtherCards = slices.ContainsFunc(names, func(name string) bool {
		return strings.HasSuffix(name, ".card") && name != path.Base(cardFile(slot))
	})
	return s
}

// owned returns the names of the files that gpuworker-host owns.
func (s Seen) owned(slot pci.Slot) []string {
	names := []string{cardFile(slot)}
	for _, f := range s.Mechanism.Shared {
		names = append(names, f.Name)
	}
	return append(names, s.Mechanism.Stale...)
}

func (s Seen) has(f File) bool {
	data, there := s.Files[f.Name]
	return there && bytes.Equal(data, f.Data)
}

func (s Seen) state(bdf pci.BDF) State {
	i := slices.IndexFunc(s.Functions, func(f State) bool { return f.BDF == bdf })
	if i < 0 {
		return State{BDF: bdf}
	}
	return s.Functions[i]
}
