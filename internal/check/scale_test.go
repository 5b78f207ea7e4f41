package check_test

import (
	"fmt"
	"testing"

	"github.com/gpuworker/gpuworker/internal/check"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/plantest"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// TestACheckGrowsLinearly: in memory and time.
func TestACheckGrowsLinearly(t *testing.T) {
	if thorough.Every > 1 {
		t.Skip("under the race detector, which takes its own time and memory")
	}
	for _, large := range plantest.Reports() {
		t.Run(large.Name, func(t *testing.T) {
			plantest.GrowsWithTheWorld(t, large, func(in planner.Input) { check.Run(in) })
		})
	}
}

// BenchmarkRun checks n GPU workers among 2n VMs, on n/25 hosts.
func BenchmarkRun(b *testing.B) {
	for _, large := range plantest.Worlds() {
		for _, n := range []int{500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", large.Name, n), func(b *testing.B) {
				in := large.Input(n)
				plantest.Bench(b, func() {
					if len(check.Run(in)) == 0 {
						b.Fatal("nothing was found")
					}
				})
			})
		}
	}
}
