package planner

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// TestAPoolWithoutCardsTakesAnyNames: whatever names and size it had before, no worker is
// refused, and each declared worker is there once.
func TestAPoolWithoutCardsTakesAnyNames(t *testing.T) {
	lists := append(selections([]string{"alpha", "beta", "w-1", "w-3"}, 3), nil)
	for _, lifecycle := range []v1alpha1.Lifecycle{v1alpha1.Ephemeral, v1alpha1.SemiPersistent} {
		of := func(names []string, size int) v1alpha1.WorkerPool {
			if names != nil {
				size = len(names)
			}
			return pool("w", replicas(int32(size)), workerNamed(names...), spec(func(s *v1alpha1.WorkerPoolSpec) { s.Lifecycle = lifecycle }))
		}
		for _, before := range lists {
			was := of(before, 3)
			world := []Part{Host("pve1"), Template(9000, "ubuntu-22.04", "pve1")}
			for n := range was.Size() {
				world = append(world, made(was, n+1, 9101+n, "pve1", "").Running())
			}
			for _, after := range lists {
				is := of(after, 2)
				declared := map[string]bool{}
				for w := range Build(lab(Observed(world...), is)).Workers() {
					if w.Action == plan.Refuse || declared[w.Name] {
						t.Errorf("%s, names %q instead of %q: %s: %s %+v", lifecycle, after, before, w.Name, w.Action, w.Refusals)
					}
					declared[w.Name] = declared[w.Name] || !w.Undeclared
				}
				for _, name := range after {
					if !declared[name] {
						t.Errorf("%s, names %q instead of %q: there is no %s", lifecycle, after, before, name)
					}
				}
			}
		}
	}
}

// selections are all lists of one to so many of the words, in any order.
func selections(words []string, most int) [][]string {
	lists := [][]string{{}}
	for from := 0; from < len(lists); from++ {
		for _, word := range words {
			if !slices.Contains(lists[from], word) && len(lists[from]) < most {
				lists = append(lists, append(slices.Clone(lists[from]), word))
			}
		}
	}
	return lists[1:]
}
