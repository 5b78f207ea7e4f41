package planner_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/plantest"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// TestPlanningGrowsLinearly: time and memory grow linearly with the world, for every
// kind of request.
func TestPlanningGrowsLinearly(t *testing.T) {
	if thorough.Every > 1 {
		t.Skip("under the race detector, which takes its own time and memory")
	}
	for _, large := range plantest.Larges() {
		t.Run(large.Name, func(t *testing.T) {
			show := func(in planner.Input) {
				p, err := planner.Make(in)
				if err != nil {
					t.Fatal(err)
				}
				if same, differences := plan.Same(p, p); !same {
					t.Fatal(differences)
				}
				if err := plan.Text(io.Discard, p, plan.Style{}); err != nil {
					t.Fatal(err)
				}
			}
			plantest.GrowsWithTheWorld(t, large, show)
		})
	}
}

// BenchmarkMake plans n GPU workers among 2n VMs, on n/25 hosts, the world's
// fingerprint included.
func BenchmarkMake(b *testing.B) {
	for _, large := range plantest.Larges() {
		for _, n := range []int{500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", large.Name, n), func(b *testing.B) {
				in := large.Input(n)
				plantest.Bench(b, func() {
					large.Plan(b, in, n)
				})
			})
		}
	}
}

// BenchmarkText prints such plans, and BenchmarkSame compares each with itself.
func BenchmarkText(b *testing.B) {
	for _, large := range plantest.Larges() {
		for _, n := range []int{500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", large.Name, n), func(b *testing.B) {
				p := large.Plan(b, large.Input(n), n)
				plantest.Bench(b, func() {
					if err := plan.Text(io.Discard, p, plan.Style{}); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

func BenchmarkSame(b *testing.B) {
	for _, large := range plantest.Larges() {
		for _, n := range []int{500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", large.Name, n), func(b *testing.B) {
				in := large.Input(n)
				p, again := large.Plan(b, in, n), large.Plan(b, in, n)
				plantest.Bench(b, func() {
					if same, differences := plan.Same(p, again); !same {
						b.Fatal(differences)
					}
				})
			})
		}
	}
}
