package planner

import (
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// TestTheTargetStorageOfACloneHasAHostUnlessShared: the number of clones that write
// to one storage at once is limited, over all hosts that share it.
func TestTheTargetStorageOfACloneHasAHostUnlessShared(t *testing.T) {
	onNAS := Template(9000, "ubuntu-22.04", "pve1").Change(func(vm *inventory.VM) { vm.Machine.Storage = "nas" })
	for name, tt := range map[string]struct {
		template      *VMBuilder
		full          string // to this storage
		storage, host string
	}{
		"linked, beside the template's disk": {Template(9000, "ubuntu-22.04", "pve1"), "", "local-lvm", "pve1"},
		"linked, on shared storage":          {onNAS, "", "nas", ""},
		"full, to shared storage":            {Template(9000, "ubuntu-22.04", "pve1"), "nas", "nas", ""},
		"full, from shared storage":          {onNAS, "local-lvm", "local-lvm", "pve1"},
	} {
		t.Run(name, func(t *testing.T) {
			one := pool("gpu", exact("pve1", "0000:03:00.0"), spec(func(s *v1alpha1.WorkerPoolSpec) {
				if s.Machine.Disk.Storage = tt.full; tt.full != "" {
					s.Template.Clone = v1alpha1.CloneFull
				}
			}))
			world := Observed(Host("pve1", T4("03:00")).Storage("local-lvm", 500).Shared("nas", 500), tt.template)
			w := worker(t, Build(lab(world, one)), "gpu-1")
			if w.Source == nil || w.Source.TargetStorage != tt.storage || w.Source.TargetHost != tt.host {
				t.Errorf("it is written to %+v; want %q of %q", w.Source, tt.storage, tt.host)
			}
		})
	}
}
