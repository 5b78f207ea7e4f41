package planner

import (
	"fmt"
	"testing"

	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// BenchmarkBuild plans a fleet: 32 hosts with 8 cards each, 128 existing GPU workers,
// 128 new GPU workers and 64 new plain ones, among 1,000 foreign VMs.
func BenchmarkBuild(b *testing.B) {
	there, wanted := pool("gpu", model("t4", 128)), pool("gpu", model("t4", 256))
	var parts []Part
	for h := range 32 {
		name := fmt.Sprintf("pve%02d", h)
		var cards []*CardBuilder
		for c := range 8 {
			slot := fmt.Sprintf("%02x:00", 0x10+c*0x10)
			cards = append(cards, T4(slot))
			if n := h*8 + c; n < 128 {
				parts = append(parts, claim(there, n+1, 9100+n, name, slot), made(there, n+1, 9100+n, name, slot).Running())
			}
		}
		parts = append(parts, Host(name, cards...).Memory(1024, 100), Template(9000+h, "ubuntu-22.04", name))
		for v := range 31 {
			parts = append(parts, VM(100+h*100+v, fmt.Sprintf("vm-%d-%d", h, v), name))
		}
	}
	in := lab(Observed(parts...), wanted, pool("w", replicas(64)))
	if p := Build(in); p.Summary().Create != 192 || p.Summary().Keep != 128 {
		b.Fatalf("%+v", p.Summary())
	}
	for b.Loop() {
		Build(in)
	}
}
