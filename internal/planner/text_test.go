package planner

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// homelab is a small world: three hosts, five cards, one of them held by a foreign
// VM, and a host without IOMMU.
func homelab(more ...Part) *inventory.Snapshot {
	parts := []Part{
		Host("pve1", T4("03:00").Group(14), RTX3090("41:00").Group(27), NIC("42:00").Group(27)),
		Host("pve2", T4("03:00").Group(11), T4("81:00").Group(31)),
		Host("pve3", RTX3090("0a:00")).Memory(64, 20).NoIOMMU(),
		Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2"), Template(9002, "ubuntu-22.04", "pve3"),
		VM(100, "dns", "pve1").Running(), VM(204, "vdi-7", "pve2").Card("81:00").Running(),
	}
	return Observed(append(parts, more...)...)
}

func TestText(t *testing.T) {
	gpus := pool("gpu-workers", exact("pve1", "0000:03:00.0"), model("Tesla T4", 1), exact("pve1", "0000:41:00.0"), memory("16Gi"))
	plain := pool("workers", replicas(3), memory("4Gi"), label("zone", "a"))
	oldPlain := pool("workers", replicas(3), memory("4Gi"))
	big := pool("gpu-workers", exact("pve1", "0000:03:00.0"), memory("32Gi"), label("zone", "a"))
	small := pool("gpu-workers", exact("pve1", "0000:03:00.0"), memory("16Gi"))
	full := pool("workers", replicas(2), spec(func(s *v1alpha1.WorkerPoolSpec) { s.Template.Clone = v1alpha1.CloneFull }))

	scenarios := []struct {
		name string
		in   Input
	}{
		{"an empty lab gets its workers, but for the card in a shared group", lab(homelab(), gpus, plain)},
		{"what is there and as declared is left alone", lab(homelab(
			made(small, 1, 9100, "pve1", "03:00").Running(), claim(small, 1, 9100, "pve1", "03:00")), small)},
		{"a label is changed live and a plain worker is added", lab(homelab(
			made(oldPlain, 1, 9105, "pve1", "").Running(), made(oldPlain, 2, 9106, "pve2", "").Running()), plain)},
		{"more memory waits for a person while the label is changed", lab(homelab(
			made(small, 1, 9100, "pve1", "03:00").Running(), claim(small, 1, 9100, "pve1", "03:00")), big)},
		{"nobody has a second T4", lab(homelab(
			made(small, 1, 9100, "pve1", "03:00").Running(), claim(small, 1, 9100, "pve1", "03:00"),
			Claim("pve2", "03:00", "ml-1", "ml", "rke2-prod", 9300)), pool("gpu-workers", model("Tesla T4", 2), memory("16Gi")))},
		{"no host has room for full clones", lab(Observed(
			Host("pve1").Storage("local-lvm", 5), Host("pve2").Memory(64, 60), Host("pve3").Offline(),
			Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2")), full)},
		{"a clone that died and one that is being made are told", lab(homelab(
			InFlight(9100, "pve1").Stuck(), InFlight(9101, "pve2"), claim(small, 1, 9100, "pve1", "03:00")), small, plain)},
		{"fewer replicas destroy the last plain workers", lab(homelab(
			made(oldPlain, 1, 9105, "pve1", "").Running(), made(oldPlain, 2, 9106, "pve2", "").Running()),
			pool("workers", replicas(1), memory("4Gi")))},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			text := textOf(t, Build(s.in))
			for _, line := range strings.Split(text, "\n") {
				if n := utf8.RuneCountInString(line); n > 100 {
					t.Errorf("a line has %d columns: %s", n, line)
				}
			}
			golden.Compare(t, "testdata/"+strings.ReplaceAll(s.name, " ", "-")+".golden", text)
		})
	}
}
