package planner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// cardsOfOthers is a host whose cards all belong to VMs of others.
func cardsOfOthers(n int) *inventory.Snapshot {
	var cards []*CardBuilder
	parts := []Part{Template(9000, "ubuntu-22.04", "pve1")}
	for c := range n {
		slot := fmt.Sprintf("%02x:00", 3+c)
		cards = append(cards, T4(slot))
		parts = append(parts, VM(200+c, fmt.Sprintf("vdi-%d", c), "pve1").Card(slot))
	}
	return Observed(append(parts, Host("pve1", cards...))...)
}

func TestManyReasonsArePrintedOnceAndFewInEachPool(t *testing.T) {
	for cards, said := range map[int]int{10: 2, 11: 1} {
		text := textOf(t, Build(lab(cardsOfOthers(cards), pool("a", model("t4", 2)), pool("b", model("t4", 2)))))
		if got := strings.Count(text, "attached to VM 205"); got != said {
			t.Errorf("%d reasons are said %d times, not %d:\n%s", cards, got, said, text)
		}
	}
}

// Names and reasons in a plan may have control characters. Shared ones are cleaned
// like all others.
func TestSharedReasonsAreCleaned(t *testing.T) {
	world := Observed(Host("pve1", T4("03:00")), Template(9000, "ubuntu-22.04", "pve1"), VM(204, "vdi", "pve1").Unreadable("denied\x1b[31m"))
	text := textOf(t, Build(lab(world, pool("a", model("t4", 2)))))
	if strings.Contains(text, "\x1b") || !strings.Contains(text, `denied\x1b`) || !strings.Contains(text, "for the same reasons as a-1") {
		t.Errorf("%q", text)
	}
}

func TestSuggestionsAreLimited(t *testing.T) {
	in := lab(Observed(Host("pve1")), pool("w", replicas(3)))
	var names []string
	for n := range 12 {
		names = append(names, fmt.Sprintf("w-%02d", n))
	}
	p, err := BuildDelete(in, names)
	if err != nil {
		t.Fatal(err)
	}
	suggested := 0
	for _, a := range p.Absent {
		if len(a.Near) > 0 {
			suggested++
		}
	}
	if len(p.Absent) != 12 || suggested != maxSuggestions {
		t.Errorf("%d names are told of, %d with a suggestion: %+v", len(p.Absent), suggested, p.Absent)
	}
}

// When a plain worker must be replaced and fits nowhere, the refusal of its own host
// counts the memory of its own VM as free; those of other hosts do not.
func TestAReplacedWorkersOwnMemoryCountsAsFree(t *testing.T) {
	big := pool("w", replicas(2), memory("64Gi"), spec(func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Firmware = v1alpha1.BIOS }))
	small := pool("w", replicas(2), memory("4Gi"))
	world := Observed(
		Host("pve1").Memory(16, 12), Host("pve2").Memory(16, 12), Host("pve3").Memory(16, 12),
		Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2"), Template(9002, "ubuntu-22.04", "pve3"),
		made(small, 1, 9101, "pve1", "").Running(), made(small, 2, 9102, "pve2", "").Running(),
	)
	p := Build(lab(world, big))
	const on, elsewhere = "64 GiB needed plus 512 MiB in reserve, 8 GiB free", "64 GiB needed plus 512 MiB in reserve, 4 GiB free"
	for name, want := range map[string][]string{
		"w-1": {"pve1 " + on, "pve2 " + elsewhere, "pve3 " + elsewhere},
		"w-2": {"pve1 " + elsewhere, "pve2 " + on, "pve3 " + elsewhere},
	} {
		said := map[string]bool{}
		for _, f := range worker(t, p, name).Refusals {
			reason, _, _ := strings.Cut(f.Reason, " (")
			said[f.Where.Host+" "+reason] = true
		}
		wanted := map[string]bool{}
		for _, words := range want {
			wanted[words] = true
		}
		if diff := cmp.Diff(wanted, said); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
