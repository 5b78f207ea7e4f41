package pci

import (
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
)

func FuzzReservation(f *testing.F) {
	for _, seed := range []string{"0000:01:00.0 101 pid:4711", "0000:01:00.0 101 time:1700000000\n", "01:00.0 x", "", "10000:e1:00.0 -5 pid:x y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		bdf, _, _, ok := parseReservation(line)
		if ok == bdf.IsZero() {
			t.Fatalf("%q is a reservation of %q: %v", line, bdf, ok)
		}
		if again, err := pci.ParseBDF(bdf.String()); ok && (err != nil || again != bdf) {
			t.Fatalf("%q reads as %v", line, bdf)
		}
	})
}
