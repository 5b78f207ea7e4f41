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

// Run holds a backend against everything that package hypervisor promises. make
// starts a new simulated hypervisor, whose end it leaves to t.Cleanup; it is called
// once in each bubble of simulated time. every is by how many requests the tests go
// on that lose one: thorough.Every.
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

// observe looks at everything, past all wires that are meddled with.
func (s *scenario) observe() *inventory.Snapshot {
	s.Helper()
	snapshot, err := s.lab.Open(&Wire{}).Observe(context.Background(), hypervisor.Scope{Cards: true, NewVMs: 2})
	if err != nil {
		s.Fatal(err)
	}
	return snapshot
}

// state is what there is of VMs and claims.
func (s *scenario) state() string {
	s.Helper()
	snapshot := s.observe()
	text, err := json.MarshalIndent([]any{snapshot.VMs, snapshot.Claims}, "", " ")
	if err != nil {
		s.Fatal(err)
	}
	return string(bytes.TrimSpace(text))
}

// same fails the test when VMs or claims are not as they were.
func (s *scenario) same(after, before string) {
	s.Helper()
	if now := s.state(); now != before {
		s.Errorf("%s: VMs and claims are not as they were (- before, + now):\n%s", after, cmp.Diff(before, now))
	}
}

// vm is a worker's VM as a look shows it.
func (s *scenario) vm(w *worker) *inventory.VM {
	s.Helper()
	vm := s.observe().VM(w.ref.ID)
	if vm == nil {
		s.Fatalf("there is no VM %q of %s", w.ref.ID, w.record.Worker)
	}
	return vm
}

// claimedBy fails the test unless the card is claimed for that VM of the worker,
// or by nobody when w is nil.
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
