package planner

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// TestAsManyWorkersAsPossibleKeepAnEntry compares the matching with Kuhn's algorithm
// over single cards, which is simple, slow and known to be right: the same workers
// keep an entry, each entry fits its worker, and no entry has more workers than
// cards.
func TestAsManyWorkersAsPossibleKeepAnEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world, p, members := anyMembers(t)
		want := kuhn(world, &p, members)
		got := matchCards(world, &p, members)
		taken := map[int]int{}
		for i, entry := range got {
			if (entry >= 0) != want[i] {
				t.Fatalf("%s: entry %d, and it should have one: %v", members[i].Worker, entry, want[i])
			}
			if entry < 0 {
				continue
			}
			taken[entry]++
			if f := fits(world, &p, &p.Spec.GPUs[entry], members[i]); f == fitNever {
				t.Fatalf("%s has entry %d, which does not fit", members[i].Worker, entry)
			}
		}
		for entry, n := range taken {
			if n > p.Spec.GPUs[entry].Cards() {
				t.Fatalf("entry %d has %d cards, and %d workers", entry, p.Spec.GPUs[entry].Cards(), n)
			}
		}
	})
}

// anyMembers draws workers with cards of two kinds on three hosts, one of them
// offline, and a pool that may declare some of them.
func anyMembers(t *rapid.T) (*inventory.Snapshot, v1alpha1.WorkerPool, []*member) {
	slots := []string{"03:00", "41:00", "81:00", "c1:00"}
	cards := func() (all []*CardBuilder) {
		for _, slot := range slots {
			if rapid.Bool().Draw(t, "is a T4") {
				all = append(all, T4(slot))
			} else {
				all = append(all, RTX3090(slot))
			}
		}
		return all
	}
	world := Observed(Host("pve1", cards()...), Host("pve2", cards()...), Host("pve3").Offline())
	hosts := rapid.SampledFrom([]string{"pve1", "pve2", "pve3"})
	var changes []poolDoc
	named := map[string]bool{} // no document names a card twice
	for range rapid.IntRange(0, 5).Draw(t, "entries") {
		var only []string
		if rapid.Bool().Draw(t, "on one host") {
			only = []string{hosts.Draw(t, "host of the entry")}
		}
		host, slot := hosts.Draw(t, "host"), rapid.SampledFrom(slots).Draw(t, "slot")
		if rapid.IntRange(0, 2).Draw(t, "exact") == 0 && !named[host+slot] {
			named[host+slot] = true
			changes = append(changes, exact(host, "0000:"+slot+".0"))
		} else {
			changes = append(changes, model(rapid.SampledFrom([]string{"t4", "3090"}).Draw(t, "model"), int32(rapid.IntRange(1, 3).Draw(t, "count")), only...))
		}
	}
	var members []*member
	for n := range rapid.IntRange(0, 10).Draw(t, "workers") {
		bdf := pci.MustBDF("0000:" + rapid.SampledFrom(slots).Draw(t, "card") + ".0")
		host := hosts.Draw(t, "host of the worker")
		members = append(members, &member{WorkerKey: inventory.WorkerKey{Worker: fmt.Sprintf("gpu-%d", n+1)}, host: host, card: pci.CardRef{Host: host, Slot: bdf.Slot}})
	}
	return world, pool("gpu", changes...), members
}

// kuhn reports which members find a single card: those that name it first, then
// those whose card can be seen, then the others.
func kuhn(world *inventory.Snapshot, pool *v1alpha1.WorkerPool, members []*member) []bool {
	var wants []*v1alpha1.GPURequest
	for i := range pool.Spec.GPUs {
		for range pool.Spec.GPUs[i].Cards() {
			wants = append(wants, &pool.Spec.GPUs[i])
		}
	}
	holder, found := map[int]int{}, make([]bool, len(members))
	var augment func(i int, sure fit, visited map[int]bool) bool
	augment = func(i int, sure fit, visited map[int]bool) bool {
		for j, want := range wants {
			if f := fits(world, pool, want, members[i]); visited[j] || f == fitNever || f > sure {
				continue
			}
			visited[j] = true
			if other, taken := holder[j]; !taken || augment(other, sure, visited) {
				holder[j] = i
				return true
			}
		}
		return false
	}
	for _, sure := range []fit{fitNamed, fitSeen, fitUnseen} {
		for i := range members {
			found[i] = found[i] || augment(i, sure, map[int]bool{})
		}
	}
	return found
}

// fleetOf is a pool of n existing workers, on hosts with eight cards each.
func fleetOf(n int) Input {
	p := pool("gpu", model("t4", int32(n)))
	var parts []Part
	for h := 0; h*8 < n; h++ {
		host := fmt.Sprintf("pve%04d", h)
		var cards []*CardBuilder
		for c := range 8 {
			slot := fmt.Sprintf("%02x:00", 0x10+c*0x10)
			cards = append(cards, T4(slot))
			if i := h*8 + c; i < n {
				parts = append(parts, claim(p, i+1, 9100+i, host, slot), made(p, i+1, 9100+i, host, slot).Running())
			}
		}
		parts = append(parts, Host(host, cards...).Memory(1024, 100), Template(100000+h, "ubuntu-22.04", host))
	}
	return lab(Observed(parts...), p)
}

// TestPlanningExistingWorkersGrowsLinearly: not with the square of their number.
func TestPlanningExistingWorkersGrowsLinearly(t *testing.T) {
	allocations := func(n int) float64 {
		in := fleetOf(n)
		if kept := Build(in).Summary().Keep; kept != n {
			t.Fatalf("%d of %d workers are kept", kept, n)
		}
		return testing.AllocsPerRun(1, func() { Build(in) })
	}
	if few, many := allocations(250), allocations(1000); many > 4.5*few {
		t.Errorf("four times the workers take %.1f times the allocations", many/few)
	}
}
