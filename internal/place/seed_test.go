package place

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

func TestAWorkerWithASeedNeedsAStorageForItsImage(t *testing.T) {
	iso := inventory.Storage{Name: "nas-iso", Type: "nfs", Content: []string{"iso", "vztmpl"}, Active: true, Total: 100 << 30, Free: 50 << 30}
	with := func(change func(*inventory.Storage)) []inventory.Storage {
		storage := iso
		change(&storage)
		return []inventory.Storage{storage}
	}
	for name, tc := range map[string]struct {
		storages []inventory.Storage
		without  bool   // the worker has no seed
		refusal  string // in the reason and the fix; "" when it is placed
	}{
		"all is well":             {with(func(*inventory.Storage) {}), false, ""},
		"missing":                 {nil, false, "no storage nas-iso"},
		"missing, but not needed": {nil, true, ""},
		"not active":              {with(func(st *inventory.Storage) { st.Active = false }), false, "not active"},
		"no ISO images":           {with(func(st *inventory.Storage) { st.Content = []string{"images"} }), false, "allow nas-iso images,iso"},
		"full":                    {with(func(st *inventory.Storage) { st.Free = 1 << 20 }), false, "1 MiB free"},
		"of unknown size":         {with(func(st *inventory.Storage) { st.Total, st.Free = 0, 0 }), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			host := Host("pve1").Change(func(h *inventory.Host) { h.Storages = append(h.Storages, tc.storages...) })
			world := Observed(host, Template(9000, "ubuntu-22.04", "pve1"))
			world.Capabilities.SeedStorage, world.Advice = "nas-iso", inventory.Advice{inventory.AddISOContent: "allow {storage} {content}"}
			w := requirements("plain-1")
			w.Seed = !tc.without
			_, _, refusals := NewCapacity(world).Place(w)
			if tc.refusal == "" {
				if len(refusals) > 0 {
					t.Errorf("refused: %v", written(refusals))
				}
				return
			}
			if !slices.ContainsFunc(refusals, func(f finding.Finding) bool {
				return f.ID == finding.SeedStorage && f.Fix != "" && strings.Contains(f.Reason+f.Fix, tc.refusal)
			}) {
				t.Errorf("nothing says %q: %v", tc.refusal, written(refusals))
			}
		})
	}
}

func TestAWorkerWithASeedNeedsNoCloudInitDrive(t *testing.T) {
	world := Observed(Host("pve1"), Template(9000, "ubuntu-22.04", "pve1").Change(func(vm *inventory.VM) { vm.CloudInit = false }))
	w := requirements("plain-1")
	if _, _, refusals := NewCapacity(world).Place(w); len(refusals) != 1 || refusals[0].ID != finding.TemplateNoCloudInit {
		t.Errorf("without a seed: %v", written(refusals))
	}
	w.Seed = true
	switch placement, _, refusals := NewCapacity(world).Place(w); {
	case len(refusals) > 0:
		t.Errorf("with a seed: %v", written(refusals))
	case placement.Template == nil || placement.Template.ID != "9000":
		t.Errorf("with a seed the template is %v", placement.Template)
	}
}
