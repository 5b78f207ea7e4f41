package engine

import (
	"context"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/place"
)

// Registrar is the part of the backend that makes registers of cards ahead; a
// fault.Unsupported when the hypervisor has none.
func (s *Session) Registrar(ctx context.Context) (hypervisor.Registrar, error) {
	backend, err := s.engine.backend(ctx, s.documents(), &s.hypervisor)
	if err != nil {
		return nil, err
	}
	if registrar, is := backend.(hypervisor.Registrar); is {
		return registrar, nil
	}
	return nil, &fault.Error{
		Kind: fault.Unsupported, Doing: "make a mapping", Where: fault.Place{Hypervisor: s.hypervisor.Name}, Why: "this hypervisor has no mappings of cards",
		Fix: "leave the mapping out: workers on this hypervisor need none",
	}
}

// CheckRegister checks, with the shared observation, whether the register of a card can be
// made: the host and the card exist, the card is a GPU, and nobody has made another entry
// for it. Findings that fail say why not. An unknown one says what could not be looked at:
// then making it may fail.
func (s *Session) CheckRegister(ctx context.Context, card pci.CardRef) ([]finding.Finding, error) {
	registrar, err := s.Registrar(ctx)
	if err != nil {
		return nil, err
	}
	world, err := s.observed(ctx, func() bool { return false }) // our work changes no hardware
	if err != nil {
		return nil, err
	}
	there := place.CheckHost(world, card.Host)
	switch {
	case there.ID == finding.HostOffline && there.Verdict == finding.Fail: // the card may be there
		there.Verdict, there.Where.Card = finding.Unknown, card.BDF()
	case there.Verdict == finding.Pass:
		there = place.CheckCardThere(world, world.Host(card.Host), card.Slot)
	}
	var findings []finding.Finding
	if there.Verdict != finding.Pass {
		findings = append(findings, there)
	}
	return findings, registrar.MayMakeRegister(ctx, card)
}
