package place

import (
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// facts are facts of pve1 about its T4.
func facts(findings ...finding.Finding) *inventory.Facts {
	return &inventory.Facts{From: "facts/pve1.json", Cards: []inventory.CardFacts{{
		Slot: pci.MustBDF("03:00.0").Slot, ID: pci.MustID("10de:1eb8"), Driver: "vfio-pci", Findings: findings,
	}}}
}

func TestHostFactsDecideAboutACard(t *testing.T) {
	fails := finding.Finding{ID: finding.HostDriverOwns, Verdict: finding.Fail, Layer: finding.LayerOwner, Reason: "nouveau has it"}
	unknown := finding.Finding{ID: finding.HostPowerStuck, Verdict: finding.Unknown, Layer: finding.LayerReset, Reason: "not seen"}
	moved := facts()
	moved.Cards[0].ID = pci.MustID("10de:2204")
	tests := []struct {
		name     string
		facts    *inventory.Facts
		required bool
		refused  finding.ID // "" when the card can be used
		note     finding.ID
	}{
		{"nobody asked the host", nil, false, "", finding.HostDriver},
		{"nobody asked the host, and facts are required", nil, true, finding.HostFactsNone, ""},
		{"the host did not answer", &inventory.Facts{From: "ssh root@pve1", Missing: "refused"}, false, "", finding.HostFactsNone},
		{"all is well", facts(), true, "", ""},
		{"something fails", facts(fails), false, finding.HostDriverOwns, ""},
		{"something is unknown", facts(unknown), false, "", finding.HostPowerStuck},
		{"something is unknown, and facts are required", facts(unknown), true, finding.HostPowerStuck, ""},
		{"the facts are old, although nothing failed then", old(), false, "", finding.HostFactsOld},
		{"the facts are old, and something failed then", old(fails), false, "", finding.HostFactsOld},
		{"the facts are old, and facts are required", old(), true, finding.HostFactsOld, ""},
		{"the facts speak of another card", moved, false, "", finding.HostFactsOld},
		{"the facts speak of no such card", &inventory.Facts{From: "x"}, true, finding.HostFactsOld, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			world := Observed(Host("pve1", T4("03:00")), Template(9000, "ubuntu-22.04", "pve1"))
			world.Hosts[0].Facts = tt.facts
			capacity := NewCapacity(world)
			if tt.required {
				capacity.RequireFacts()
			}
			_, notes, refusals := capacity.Place(requirements("gpu-1", exactly("pve1", "03:00")))
			if got := first(refusals); got != tt.refused {
				t.Errorf("refused for %q, want %q: %v", got, tt.refused, refusals)
			}
			if got := first(notes); tt.refused == "" && got != tt.note {
				t.Errorf("noted %q, want %q: %v", got, tt.note, notes)
			}
		})
	}
}

// old are stale facts.
func old(findings ...finding.Finding) *inventory.Facts {
	facts := facts(findings...)
	facts.Old = "was made 370 days ago"
	return facts
}

func first(findings []finding.Finding) finding.ID {
	if len(findings) == 0 {
		return ""
	}
	return findings[0].ID
}

func TestStaleFactsDoNotBlockAVMThatRunsWithTheCard(t *testing.T) {
	card, other := pci.MustCardRef("pve1/03:00.0"), pci.MustCardRef("pve1/04:00.0")
	for name, test := range map[string]struct {
		running bool
		card    inventory.Attachment
		want    finding.Verdict
	}{
		"it runs with the card":               {true, inventory.Attachment{Cards: []pci.CardRef{card}}, finding.Pass},
		"it is stopped":                       {false, inventory.Attachment{Cards: []pci.CardRef{card}}, finding.Fail},
		"it gets the card at the next start":  {true, inventory.Attachment{Cards: []pci.CardRef{card}, Pending: true}, finding.Fail},
		"it runs with this card or another":   {true, inventory.Attachment{Cards: []pci.CardRef{card, other}}, finding.Fail},
		"it runs with another card, not this": {true, inventory.Attachment{Cards: []pci.CardRef{other}}, finding.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			world := Observed(Host("pve1", T4("03:00")))
			world.VMs = append(world.VMs, inventory.VM{ID: "101", Host: "pve1", Running: test.running, Cards: []inventory.Attachment{test.card}})
			got := ProvenByVM(world, "101", card, []finding.Finding{{ID: finding.HostDriverOwns, Verdict: finding.Fail, Reason: "nouveau has it"}})
			if got[0].Verdict != test.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
