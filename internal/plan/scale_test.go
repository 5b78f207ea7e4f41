package plan_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/plantest"
)

// BenchmarkMake plans n GPU workers among 2n VMs, on n/25 hosts, the world's
// fingerprint included.
func BenchmarkMake(b *testing.B) {
	for _, large := range plantest.Larges() {
		for _, n := range []int{500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", large.Name, n), func(b *testing.B) {
				in := large.Input(n)
				b.ReportAllocs()
				for b.Loop() {
					large.Plan(b, in, n)
				}
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
				b.ReportAllocs()
				for b.Loop() {
					if err := plan.Text(io.Discard, p, plan.Style{}); err != nil {
						b.Fatal(err)
					}
				}
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
				b.ReportAllocs()
				for b.Loop() {
					if same, differences := plan.Same(p, again); !same {
						b.Fatal(differences)
					}
				}
			})
		}
	}
}
