package place

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// Advice in a backend's own words names the VM, the option and the storage of the
// refusal.
func TestAdviceOfABackendNamesWhatWasRefused(t *testing.T) {
	ubuntu := Template(9000, "ubuntu-22.04", "pve1")
	broken := Template(9000, "ubuntu-22.04", "pve1").Card("03:00").Change(func(vm *inventory.VM) { vm.CloudInit, vm.BootDisk = false, "" })
	for _, s := range []struct {
		name  string
		world *inventory.Snapshot
		want  Requirements
		words inventory.Advice
		fix   string
	}{
		{"the card of a stranger's VM", Observed(Host("pve1", T4("03:00"), T4("81:00")), ubuntu, VM(204, "vdi-7", "pve1").Card("03:00").Card("81:00")), requirements("gpu-1", exactly("pve1", "81:00")),
			inventory.Advice{inventory.TakeCardOut: "free {vm} {key}"}, "choose another card, or free 204 hostpci1   (on pve1)"},
		{"a VM that is no template", Observed(Host("pve1"), VM(9000, "ubuntu-22.04", "pve1")), requirements("gpu-1"),
			inventory.Advice{inventory.MakeTemplate: "convert {vm} on {host}"}, "convert 9000 on pve1   (on pve1)"},
		{"a template without a disk", Observed(Host("pve1"), broken), requirements("gpu-1"),
			inventory.Advice{inventory.AddDisk: "import into {vm}"}, "import into 9000   (on pve1)"},
		{"a template without cloud-init", Observed(Host("pve1"), broken), requirements("gpu-1"),
			inventory.Advice{inventory.AddCloudInit: "seed {vm} {storage}"}, "seed 9000 local-lvm   (on pve1)"},
		{"a template with a card", Observed(Host("pve1"), broken), requirements("gpu-1"),
			inventory.Advice{inventory.EmptyTemplate: "empty {vm} {key}"}, "empty 9000 hostpci0   (on pve1)"},
		{"a storage that is not active", Observed(Host("pve1").Change(func(h *inventory.Host) { h.Storages[0].Active = false }), ubuntu), requirements("gpu-1"),
			inventory.Advice{inventory.ActivateStorage: "ask the storages"}, "ask the storages   (on pve1)"},
		{"a storage without disks", Observed(Host("pve1").Change(func(h *inventory.Host) { h.Storages[0].Content = []string{"iso", "vztmpl"} }), ubuntu), requirements("gpu-1"),
			inventory.Advice{inventory.AddContent: "allow {storage} {content}"}, "allow local-lvm iso,vztmpl,images"},
	} {
		t.Run(s.name, func(t *testing.T) {
			s.world.Advice = s.words
			_, _, refusals := NewCapacity(s.world).Place(s.want)
			if !slices.ContainsFunc(refusals, func(f finding.Finding) bool { return f.Fix == s.fix }) {
				t.Errorf("nothing says %q:\n%v", s.fix, written(refusals))
			}
		})
	}
}
