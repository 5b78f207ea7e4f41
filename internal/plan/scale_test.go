package plan_test

import (
	"fmt"
	"testing"

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
