package place

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// withID is a world in which the card at an address has another ID.
func withID(world *inventory.Snapshot, host, slot, id string) *inventory.Snapshot {
	device := world.Host(host).Device(CardRef(host, slot).Slot)
	device.Functions[0].ID = pci.MustID(id)
	return world
}

func needsDriver(r driver.Request) func(*Requirements) {
	return func(w *Requirements) { w.Card.Driver = r }
}

func TestAWrongDriverForTheCardIsRefused(t *testing.T) {
	const v100, b200, h200, unknown, t4 = "10de:1db4", "10de:2901", "10de:2335", "10de:ffff", "10de:1eb8"
	packages := driver.Request{Strategy: driver.Packages, OS: driver.Ubuntu2404}
	open, newer := packages, packages
	open.Modules, newer.Branch = driver.Open, "595"
	rocky := driver.Request{Strategy: driver.Packages, OS: driver.Rocky9, Version: "580.95.05", Repository: "https://x"}
	for _, test := range []struct {
		name, id string
		declared driver.Request
		refusals []string
		notes    []string
	}{
		{"no driver", v100, driver.Request{}, nil, nil},
		{"the card decides", v100, packages, nil, nil},
		{"a T4 takes all", t4, open, nil, nil},
		{"open modules on Volta", v100, open, []string{"CARD-DRIVER-MISMATCH pve1 0000:03:00.0: the open kernel modules do not work with Tesla V100 PCIe 16GB (10de:1db4): they need Turing or newer, and it is Volta → spec.driver.modules: write modules: Proprietary, or leave modules out"}, nil},
		{"a branch after the last", v100, newer, []string{`CARD-DRIVER-MISMATCH pve1 0000:03:00.0: R595 has no Tesla V100 PCIe 16GB (10de:1db4): R580 is the last branch for Volta → spec.driver.branch: write branch: "580"`}, nil},
		{"Blackwell on Rocky", "10de:2bb5", rocky, []string{"CARD-DRIVER-MISMATCH pve1 0000:03:00.0: NVIDIA has pre-built packages for Rocky 9 of the proprietary modules only; those of the open modules compile → spec.driver.modules: write modules: Proprietary if the card works with them (up to Hopper), or write strategy: Preinstalled (the driver is in the template), Operator or Ansible, or use an Ubuntu template"}, nil},
		{"Turing on Rocky", t4, rocky, nil, nil},
		{"a card that is not in the table", unknown, packages, nil, []string{"CARD-DRIVER-UNKNOWN unknown"}},
		{"a module of an SXM board", h200, packages, nil, []string{"CARD-NVLINK info"}},
		{"what the document alone shows is not repeated", t4, driver.Request{Strategy: driver.Preinstalled, Branch: "535"}, nil, nil},
		{"both", b200, driver.Request{Strategy: driver.Preinstalled, Branch: "550", Modules: driver.Proprietary}, []string{
			"CARD-DRIVER-MISMATCH pve1 0000:03:00.0: the proprietary kernel modules do not work with B200 (10de:2901): Blackwell has only the open ones → spec.driver.modules: write modules: Open, or leave modules out",
			`CARD-DRIVER-MISMATCH pve1 0000:03:00.0: R550 has no B200 (10de:2901): R570 is the first branch for it → spec.driver.branch: write branch: "580" or newer`,
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			world := withID(Observed(Host("pve1", T4("03:00")), Template(9000, "ubuntu-22.04", "pve1")), "pve1", "03:00", test.id)
			w := requirements("gpu-1", exactly("pve1", "03:00"), needsDriver(test.declared))
			placement, notes, refusals := NewCapacity(world).Place(w)
			if diff := cmp.Diff(test.refusals, written(refusals)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if test.refusals == nil && placement.Card.IsZero() {
				t.Error("it has no place")
			}
			var got []string
			for _, f := range notes {
				if strings.HasPrefix(string(f.ID), "CARD-") {
					got = append(got, string(f.ID)+" "+string(f.Verdict))
				}
			}
			if diff := cmp.Diff(test.notes, got); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			_, startRefusals := NewCapacity(world).CheckStart(w, "pve1")
			if diff := cmp.Diff(test.refusals, written(startRefusals)); diff != "" {
				t.Errorf("refusals of a start (-want +got):\n%s", diff)
			}
		})
	}
}

// A model may stand for cards of which the declared driver works with some.
func TestACardThatTheDriverWorksWithIsChosen(t *testing.T) {
	world := func() *inventory.Snapshot {
		return withID(Observed(Host("pve1", T4("03:00"), T4("04:00")), Template(9000, "ubuntu-22.04", "pve1")), "pve1", "03:00", "10de:1db4")
	}
	open := needsDriver(driver.Request{Strategy: driver.Preinstalled, Branch: "580", Modules: driver.Open})
	w := requirements("gpu-1", ofModel("Tesla T4"), open)
	search := NewCapacity(world()).Search(w)
	if choices := search.Choices(); choices != 1 {
		t.Errorf("%d choices, want the card at 04:00", choices)
	}
	placement, _, refusals := search.Place("gpu-1")
	if placement.Card != CardRef("pve1", "04:00") {
		t.Errorf("placed at %v: %v", placement.Card, written(refusals))
	}
	_, _, refusals = search.Place("gpu-2")
	ids := map[finding.ID]bool{}
	for _, f := range refusals {
		ids[f.ID] = true
	}
	if !ids[finding.CardDriver] || !ids[finding.CardUsed] {
		t.Errorf("the reasons are not all there: %v", written(refusals))
	}
	if placement, _, refusals := NewCapacity(world()).Place(w); placement.Card != CardRef("pve1", "04:00") {
		t.Errorf("without a search: placed at %v: %v", placement.Card, written(refusals))
	}
}
