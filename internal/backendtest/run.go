package backendtest

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// suite is how one backend is tested.
type suite struct {
	make  func(t *testing.T) Lab
	every int
}

// Run tests a backend against the rules of package hypervisor. make starts a new
// simulated hypervisor and stops it with t.Cleanup; it is called once in each bubble
// of simulated time. Tests that lose one request try every n-th one, where n is every;
// see thorough.Every.
func Run(t *testing.T, every int, make func(t *testing.T) Lab) {
	s := suite{make, every}
	t.Run("life", s.life)
	t.Run("cuts", s.cuts)
	t.Run("identity", s.identity)
	t.Run("claims", s.claims)
	t.Run("cards", s.cards)
	t.Run("races", s.races)
	t.Run("writes", s.writes)
	t.Run("marks", s.marks)
	t.Run("power", s.power)
	t.Run("looks", s.looks)
	t.Run("seeds", s.seeds)
	t.Run("guests", s.guests)
	t.Run("registers", s.registrars)
}

// scene runs one scenario in simulated time.
func (s suite) scene(t *testing.T, name string, play func(*scenario)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { s.bubble(t, play) })
}

func (s suite) bubble(t *testing.T, play func(*scenario)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		lab := s.make(t)
		can := lab.Open(&Wire{}).Capabilities()
		play(&scenario{T: t, lab: lab, set: lab.Setting(), can: can})
	})
}

// observe observes everything, over an undisturbed wire.
func (s *scenario) observe() *inventory.Snapshot {
	s.Helper()
	snapshot, err := s.lab.Open(&Wire{}).Observe(context.Background(), hypervisor.Scope{Cards: true, NewVMs: 2})
	if err != nil {
		s.Fatal(err)
	}
	return snapshot
}

// state is the state of all VMs and claims, as text.
func (s *scenario) state() string {
	s.Helper()
	snapshot := s.observe()
	text, err := json.MarshalIndent([]any{snapshot.VMs, snapshot.Claims}, "", " ")
	if err != nil {
		s.Fatal(err)
	}
	return string(bytes.TrimSpace(text))
}

// same fails the test when the state of VMs or claims has changed.
func (s *scenario) same(after, before string) {
	s.Helper()
	if now := s.state(); now != before {
		s.Errorf("%s: VMs or claims have changed (- before, + now):\n%s", after, cmp.Diff(before, now))
	}
}

// vm is a worker's VM as Observe shows it.
func (s *scenario) vm(w *worker) *inventory.VM {
	s.Helper()
	vm := s.observe().VM(w.ref.ID)
	if vm == nil {
		s.Fatalf("there is no VM %q of %s", w.ref.ID, w.record.Worker)
	}
	return vm
}

// claimedBy fails the test unless the card is claimed for the worker and its VM, or
// not claimed when w is nil.
func (s *scenario) claimedBy(w *worker) {
	s.Helper()
	claim := s.observe().Claim(s.set.Card)
	switch {
	case w == nil && claim != nil && !claim.Releasing:
		s.Errorf("the card is claimed by %+v", claim.Record)
	case w != nil && claim == nil:
		s.Errorf("nobody claims the card, want %s", w.record.Worker)
	case w != nil && (claim.Record.Worker != w.record.Worker || claim.Record.UUID != w.record.UUID || claim.Releasing):
		s.Errorf("the card is claimed by %+v, want %s", claim, w.record.Worker)
	}
}
