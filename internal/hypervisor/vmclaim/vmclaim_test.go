package vmclaim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

var (
	t4    = pci.MustCardRef("alpha/0000:03:00.0")
	other = pci.MustCardRef("beta/0000:03:00.0")
)

func note(text string) inventory.Note {
	found, _ := inventory.ParseRecord(text)
	return found
}

// vm is a VM of a worker whose record names the card.
func vm(worker string, words ...string) VM {
	record := inventory.Record{WorkerKey: inventory.WorkerKey{Worker: worker, Pool: "gpu"}, UUID: "5e0f0000-0000-4000-8000-000000000001", Host: t4.Host, Card: t4, By: "ops@desk"}
	v := VM{Ref: inventory.VMRef{ID: "vm-" + worker, Name: worker}}
	for _, word := range words {
		switch word {
		case "claims":
			v.Note.Flags = append(v.Note.Flags, claimWord)
		case "has":
			v.Cards = append(v.Cards, t4)
		}
	}
	v.Note = note(record.Line(v.Note.Flags...))
	return v
}

// TestMoves checks the next move for all combinations of two VMs that claim or have
// the card.
func TestMoves(t *testing.T) {
	free, claims, has, both := []string(nil), []string{"claims"}, []string{"has"}, []string{"claims", "has"}
	for _, c := range []struct {
		mine, other          []string
		claim, attach, start Move
	}{
		{free, free, Write, Refuse, Refuse},
		{claims, free, Go, Go, Go},
		{has, free, Write, Refuse, Refuse}, // adopted with the card
		{both, free, Go, Go, Go},
		{free, claims, Pause, Refuse, Refuse},
		{claims, claims, Withdraw, Pause, Go},
		{has, claims, Write, Refuse, Refuse},
		{both, claims, Go, Go, Go}, // the other one yields
		{free, has, Refuse, Refuse, Refuse},
		{claims, has, Withdraw, Refuse, Refuse},
		{has, has, Refuse, Refuse, Refuse},
		{both, both, Refuse, Refuse, Refuse},
	} {
		look := &Look{Card: t4, Mine: vm("gpu-1", c.mine...), Others: []VM{vm("gpu-3"), vm("gpu-2", c.other...)}}
		for what, pair := range map[string][2]Move{
			"claim": {look.Claim(0).Move, c.claim}, "attach": {look.Attach(0).Move, c.attach}, "start": {look.Start().Move, c.start},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s, mine %v, other %v: %q, want %q", what, c.mine, c.other, pair[0], pair[1])
			}
		}
		for what, verdict := range map[string]Verdict{"claim": look.Claim(mostTries), "attach": look.Attach(mostTries), "start": look.Start()} {
			err := verdict.Err(what)
			if (err != nil) != (verdict.Move == Refuse) || verdict.Move == Pause || err != nil && fault.FixOf(err) == "" {
				t.Errorf("%s after many tries, mine %v, other %v: %q, %v", what, c.mine, c.other, verdict.Move, err)
			}
		}
	}
}

// TestRefusalsNameTheOtherVM checks the kinds of errors and the names in them.
func TestRefusalsNameTheOtherVM(t *testing.T) {
	duplicateVM := vm("gpu-1", "claims")
	duplicateVM.Ref.ID = "vm-old"
	newer := vm("gpu-2")
	newer.Note = note("gpuworker: v=9 worker=gpu-2 " + claimWord)
	for name, c := range map[string]struct {
		mine, other VM
		verdict     func(*Look) Verdict
		kind        fault.Kind
		says        []string
	}{
		"taken":            {vm("gpu-1"), vm("gpu-2", "has"), func(l *Look) Verdict { return l.Claim(0) }, fault.Exists, []string{"vm-gpu-2"}},
		"both have it":     {vm("gpu-1", "claims", "has"), vm("gpu-2", "has"), (*Look).Start, fault.Exists, []string{"vm-gpu-1", "vm-gpu-2", "neither"}},
		"claimed":          {vm("gpu-1"), vm("gpu-2", "claims"), func(l *Look) Verdict { return l.Claim(mostTries) }, fault.Exists, []string{"worker gpu-2", "ops@desk"}},
		"claimed, attach":  {vm("gpu-1", "claims"), vm("gpu-2", "claims"), func(l *Look) Verdict { return l.Attach(mostTries) }, fault.Exists, []string{"worker gpu-2"}},
		"the same worker":  {vm("gpu-1"), duplicateVM, func(l *Look) Verdict { return l.Claim(0) }, fault.Conflict, []string{"vm-old", "same worker"}},
		"its own is gone":  {vm("gpu-1"), vm("gpu-2"), func(l *Look) Verdict { return l.Attach(0) }, fault.Conflict, []string{"vm-gpu-1"}},
		"a newer record's": {vm("gpu-1"), newer, func(l *Look) Verdict { return l.Claim(mostTries) }, fault.Exists, []string{"vm-gpu-2", "newer gpuworker"}},
	} {
		look := &Look{Card: t4, Mine: c.mine, Others: []VM{c.other}}
		err := c.verdict(look).Err("do it")
		if !fault.Is(err, c.kind) {
			t.Errorf("%s: %v (%s), want %s", name, err, fault.KindOf(err), c.kind)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in %q", name, part, err)
			}
		}
	}
}

// TestAClaimIsOnTheCardOfTheRecord: with an unusable record, it counts for every card.
func TestAClaimIsOnTheCardOfTheRecord(t *testing.T) {
	if v := vm("gpu-1", "claims"); !v.Claims(t4) || v.Claims(other) {
		t.Error("the claim is not on the card of the record")
	}
	if v := vm("gpu-1"); v.Claims(t4) {
		t.Error("a record without the word claims the card")
	}
	for _, text := range []string{"gpuworker: v=9 worker=gpu-2 claims", "gpuworker: worker=GPU_2 claims", "gpuworker: worker=a claims\ngpuworker: worker=b"} {
		v := VM{Note: note(text)}
		if !v.Claims(t4) || !v.Claims(other) {
			t.Errorf("%q may claim any card", text)
		}
		if v.Cards = []pci.CardRef{other}; v.Claims(t4) || !v.Claims(other) {
			t.Errorf("%q claims the card that the VM has", text)
		}
	}
	if v := (VM{Note: note("gpuworker: v=9 worker=gpu-2")}); v.Claims(t4) {
		t.Error("a newer record without the word claims a card")
	}
}

// TestAClaimDoesNotMoveToAnotherCard: when the record's card changes, the claim is
// removed.
func TestAClaimDoesNotMoveToAnotherCard(t *testing.T) {
	was := inventory.Record{Host: "alpha", Card: t4}
	labelled, moved := was, was
	labelled.Labels, moved.Card = "zone=a", pci.MustCardRef("alpha/0000:41:00.0")
	flags := []string{"proven", claimWord}
	if kept := Kept(flags, was, labelled); !slices.Equal(kept, flags) {
		t.Errorf("kept %v", kept)
	}
	if kept := Kept(flags, was, moved); !slices.Equal(kept, []string{"proven"}) {
		t.Errorf("kept %v", kept)
	}
	if !slices.Equal(With(With([]string{"proven"})), flags) || !slices.Equal(flags, []string{"proven", claimWord}) {
		t.Errorf("flags %v", flags)
	}
}

// TestASnapshotShowsAllClaims: also those on missing cards.
func TestASnapshotShowsAllClaims(t *testing.T) {
	newer := VM{Ref: inventory.VMRef{ID: "vm-9"}, Note: note("gpuworker: v=9 worker=gpu-9 claims")}
	claims := Claims([]VM{vm("gpu-1", "claims"), vm("gpu-2"), newer}, []pci.CardRef{other})
	var shown []string
	for _, c := range claims {
		shown = append(shown, c.Card.Host+" "+c.Register+map[bool]string{true: " problem"}[c.Problem != ""]+map[bool]string{true: " stale"}[c.Stale != ""])
	}
	if want := []string{"beta vm-9 problem", "alpha vm-gpu-1 stale"}; !slices.Equal(shown, want) {
		t.Errorf("there are %q, want %q", shown, want)
	}
}

// TestPausesAreRandomAndGrow: otherwise two engines could yield to each other forever.
func TestPausesAreRandomAndGrow(t *testing.T) {
	last := time.Duration(0)
	for tries := range mostTries {
		short, long := PauseFor(tries, 0), PauseFor(tries, 1)
		if short <= 0 || long < short+pauseRange || long <= last || long > time.Minute {
			t.Errorf("after %d tries: %s to %s, before that up to %s", tries, short, long, last)
		}
		last = long
	}
	if PauseFor(1000, 1) > time.Minute {
		t.Error("a pause without end")
	}
}
