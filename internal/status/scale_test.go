package status_test

import (
	"fmt"
	"testing"

	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/plantest"
	"github.com/gpuworker/gpuworker/internal/status"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// TestAReportGrowsLinearly: in memory and time.
func TestAReportGrowsLinearly(t *testing.T) {
	if thorough.Every > 1 {
		t.Skip("under the race detector, which takes its own time and memory")
	}
	for _, large := range plantest.Reports() {
		t.Run(large.Name, func(t *testing.T) {
			do := func(in planner.Input) { status.Report(in, status.Guests{}) }
			plantest.GrowsWithTheWorld(t, large, do)
		})
	}
}

// BenchmarkReport reports n GPU workers among 2n VMs on n/25 hosts.
func BenchmarkReport(b *testing.B) {
	for _, large := range plantest.Worlds() {
		for _, n := range []int{500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", large.Name, n), func(b *testing.B) {
				in := large.Input(n)
				plantest.Bench(b, func() {
					if rows := status.Report(in, status.Guests{}); len(rows) < n {
						b.Fatalf("%d rows of %d workers", len(rows), n)
					}
				})
			})
		}
	}
}
