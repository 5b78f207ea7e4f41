package place

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// TestASearchPlacesLikeSingleWorkers compares searches with Capacity.Place,
// which judges each host and card for each worker: pools that take turns get the same
// places and the same refusals.
func TestASearchPlacesLikeSingleWorkers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world, wants := anyHosts(t), anyRequirements(t)
		capacity, plain := NewCapacity(world), NewCapacity(world)
		var searches []*Search
		for i, w := range wants {
			searches = append(searches, capacity.Search(w))
			if got, want := searches[i].Choices(), choicesOf(plain, w); got != want {
				t.Fatalf("%+v has %d choices, not %d", w, got, want)
			}
		}
		for n := range rapid.IntRange(1, 40).Draw(t, "workers") {
			i, worker := rapid.IntRange(0, len(wants)-1).Draw(t, "asks"), fmt.Sprintf("worker-%d", n)
			each := wants[i]
			each.Worker = worker
			placement, notes, refusals := searches[i].Place(worker)
			wantSeat, wantNotes, wantRefusals := plain.Place(each)
			if diff := cmp.Diff([]any{wantSeat, wantNotes, wantRefusals}, []any{placement, notes, refusals}); diff != "" {
				t.Fatalf("%s, which asks for %+v (-each looks at all +searched):\n%s", worker, wants[i], diff)
			}
		}
	})
}

func choicesOf(r *Capacity, w Requirements) int {
	count := 0
	for o := range r.options(w) {
		if len(o.refusals) == 0 {
			count++
		}
	}
	return count
}

// anyHosts draws hosts with cards that are free, held, claimed or not alone in their
// group, and with capacity for a few workers.
func anyHosts(t *rapid.T) *inventory.Snapshot {
	var parts []Part
	for h := range rapid.IntRange(1, 4).Draw(t, "hosts") {
		name := fmt.Sprintf("pve%d", h+1)
		var cards []*CardBuilder
		for c := range rapid.IntRange(0, 5).Draw(t, "cards") {
			at := fmt.Sprintf("%02x:00", 3+c)
			card := rapid.SampledFrom([]func(string) *CardBuilder{T4, T4, RTX3090, NIC}).Draw(t, "card")(at)
			switch rapid.IntRange(0, 7).Draw(t, "state of the card") {
			case 0:
				parts = append(parts, VM(100+10*h+c, "vdi", name).Card(at).Running())
			case 1:
				parts = append(parts, Claim(name, at, "x-1", "x", "other", 300))
			case 2:
				card.Group(99)
			}
			cards = append(cards, card)
		}
		host := Host(name, cards...).Memory(rapid.SampledFrom([]int64{16, 48, 128}).Draw(t, "memory"), 4)
		host.Storage("local-lvm", rapid.SampledFrom([]int64{15, 35, 500}).Draw(t, "free"))
		switch rapid.IntRange(0, 9).Draw(t, "state of the host") {
		case 0:
			host.Offline()
		case 1:
			host.NoIOMMU()
		case 2:
			host.Blind("PCI devices", "permission denied")
		}
		parts = append(parts, host)
		if rapid.IntRange(0, 4).Draw(t, "template") > 0 {
			parts = append(parts, Template(9000+h, "ubuntu-22.04", name))
		}
	}
	return Observed(parts...)
}

// anyRequirements draws the requirements of a few pools.
func anyRequirements(t *rapid.T) []Requirements {
	var wants []Requirements
	for p := range rapid.IntRange(1, 4).Draw(t, "pools") {
		w := requirements("", func(w *Requirements) { w.Pool = fmt.Sprintf("pool-%d", p%3) }) // two of one pool may differ in the card
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			w.Card = &CardRequirements{Model: "t4"}
		case 1:
			w.Card = &CardRequirements{Model: "RTX 3090"}
		case 2:
			w.Card = &CardRequirements{Model: "T4", Hosts: []string{"pve2", "pve1", "pve9"}}
		}
		if rapid.IntRange(0, 3).Draw(t, "clone") == 0 {
			w.Template.Clone = v1alpha1.CloneFull
		}
		if rapid.IntRange(0, 3).Draw(t, "hosts of the pool") == 0 {
			w.Hosts = []string{"pve3", "pve1"}
		}
		wants = append(wants, w)
	}
	return wants
}

func TestPoolsShareEqualRefusals(t *testing.T) {
	world := Observed(Host("pve1", T4("03:00"), T4("04:00")), VM(204, "vdi", "pve1").Card("03:00").Card("04:00"), Template(9000, "ubuntu-22.04", "pve1"))
	capacity := NewCapacity(world)
	_, _, one := capacity.Search(requirements("", ofModel("t4"))).Place("gpu-1")
	_, _, other := capacity.Search(requirements("", ofModel("t4"), func(w *Requirements) { w.Pool = "other" })).Place("other-1")
	if len(one) != 2 || len(other) != 2 || &one[0] != &other[0] {
		t.Errorf("two lists:\n%v\n%v", written(one), written(other))
	}
}
