package planner

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/place"
)

// otherLayers are the layers of findings that do not concern a card.
var otherLayers = []finding.Layer{
	finding.LayerAPI, finding.LayerAccess, finding.LayerTemplate, finding.LayerStorage, finding.LayerNetwork, finding.LayerCapacity, finding.LayerVM,
}

// A card is ready exactly when a worker that names it is not refused because of the
// card or its host.
func TestACardIsReadyExactlyWhenAPlanTakesIt(t *testing.T) {
	seen := map[place.CardState]int{}
	rapid.Check(t, func(t *rapid.T) {
		world := anyWorld(t)
		anyFacts(t, world)
		room, required := place.NewCapacity(world), rapid.Bool().Draw(t, "host facts are required")
		if required {
			room.RequireFacts()
		}
		for i := range world.Hosts {
			host := &world.Hosts[i]
			verdicts, blind := room.JudgeCards(host)
			for j, device := range host.GPUs() {
				if blind != "" {
					t.Fatalf("the GPUs of %s are seen, and it is blind: %s", host.Name, blind)
				}
				gpu, _ := device.GPU()
				takes, why := takesNamed(world, required, host.Name, gpu.BDF.String())
				if ready := verdicts[j].State == place.CardReady; ready != takes {
					t.Fatalf("%s %s is %q (%s), and a plan says: %v", host.Name, gpu.BDF, verdicts[j].State, verdicts[j].Reason, why)
				}
				if v := verdicts[j]; (v.State == place.CardReady) != (v.Reason == "" && v.Holders == nil && v.Claim == nil) && v.State != place.CardInUse {
					t.Fatalf("%s %s is %q without a reason, or ready with one: %+v", host.Name, gpu.BDF, v.State, v)
				}
				seen[verdicts[j].State]++
			}
			if blind == "" {
				continue
			}
			seen["blind"]++
			if takes, _ := takesNamed(world, required, host.Name, "0000:03:00.0"); takes {
				t.Fatalf("%s is blind (%s), and a plan takes a card there", host.Name, blind)
			}
		}
	})
	for _, state := range []place.CardState{
		place.CardReady, place.CardInUse, place.CardReserved, place.CardTaken, place.CardBlocked, place.CardNoIOMMU, place.CardUnknown, "blind",
	} {
		if seen[state] == 0 {
			t.Errorf("no card was %s", state)
		}
	}
}

// takesNamed reports whether a plan for one new worker that names the card does not
// refuse it because of the card or its host.
func takesNamed(world *inventory.Snapshot, required bool, host, bdf string) (bool, []finding.Finding) {
	in := lab(world, pool("probe", exact(host, bdf)))
	in.Hypervisor.Spec.RequireHostFacts = required
	for w := range Build(in).Workers() {
		if w.Name != "probe-1" {
			continue
		}
		refusals := slices.DeleteFunc(slices.Clone(w.Refusals), func(f finding.Finding) bool {
			return slices.Contains(otherLayers, f.Layer)
		})
		return len(refusals) == 0, refusals
	}
	panic("the plan has no worker probe-1")
}

// anyFacts draws host facts for some hosts.
func anyFacts(t *rapid.T, world *inventory.Snapshot) {
	for i := range world.Hosts {
		host := &world.Hosts[i]
		facts := &inventory.Facts{From: "facts/" + host.Name}
		switch rapid.IntRange(0, 6).Draw(t, "facts") {
		case 0:
			facts.Missing = "no answer"
		case 1:
			facts.Old = "is a week old"
		case 2, 3:
			for _, device := range host.GPUs() {
				gpu, _ := device.GPU()
				f := finding.Finding{ID: finding.HostDriver, Layer: finding.LayerOwner, Reason: "nouveau has it"}
				f.Verdict = rapid.SampledFrom([]finding.Verdict{finding.Pass, finding.Fail, finding.Unknown, finding.Info}).Draw(t, "verdict")
				facts.Cards = append(facts.Cards, inventory.CardFacts{Slot: device.Slot, ID: gpu.ID, Findings: []finding.Finding{f}})
			}
		case 4: // stale: without the cards
		default:
			continue
		}
		host.Facts = facts
	}
}

// Each state of a card and its reason.
func TestTheStatesOfACard(t *testing.T) {
	const slot = "03:00"
	gpu := Host("pve1", T4(slot))
	shared := Host("pve1", T4(slot).Group(9), NIC("04:00").Group(9))
	driver := func(h *inventory.Host) {
		h.Facts = &inventory.Facts{From: "facts/pve1.json", Cards: []inventory.CardFacts{{
			Slot: h.GPUs()[0].Slot, ID: h.GPUs()[0].Functions[0].ID, Driver: "nouveau",
			Findings: []finding.Finding{{ID: finding.HostDriver, Verdict: finding.Fail, Layer: finding.LayerOwner, Reason: "nouveau has the card"}},
		}}}
	}
	for _, tt := range []struct {
		name   string
		world  []Part
		state  place.CardState
		reason string
	}{
		{"free", []Part{gpu}, place.CardReady, ""},
		{"given back just now", []Part{gpu, Claim("pve1", slot, "gpu-1", "gpu", "rke2-lab", 9100).Releasing()}, place.CardReady, ""},
		{"of a worker", []Part{gpu, VM(9100, "gpu-1", "pve1").Ours("gpu", "rke2-lab", "SemiPersistent").Card(slot)}, place.CardInUse, ""},
		{"claimed", []Part{gpu, Claim("pve1", slot, "gpu-1", "gpu", "rke2-lab", 9100)}, place.CardReserved, "by ops@desk"},
		{"claimed by a record that is not believed", []Part{gpu, Claim("pve1", slot, "gpu-1", "gpu", "rke2-lab", 9100).Problem("it is damaged")}, place.CardReserved, "it is damaged"},
		{"of somebody else", []Part{gpu, VM(204, "vdi-7", "pve1").Card(slot)}, place.CardTaken, "not ours"},
		{"of two VMs", []Part{gpu, VM(204, "vdi-7", "pve1").Card(slot), VM(205, "vdi-8", "pve1").Card(slot)}, place.CardTaken, "attached to 1 more VM"},
		{"of a VM that looks like a worker", []Part{gpu, VM(204, "gpu-1", "pve1").Card(slot).Tags(inventory.OwnerTag)}, place.CardTaken, `not proven to be ours: has the tag "gpuworker", but no record in its note`},
		{"held where the IOMMU is off", []Part{Host("pve1", T4(slot)).NoIOMMU(), VM(204, "vdi-7", "pve1").Card(slot)}, place.CardTaken, "not ours"},
		{"in a shared group", []Part{shared}, place.CardBlocked, "shares group 9 with 0000:04:00.0 I350 Gigabit Network Connection"},
		{"without IOMMU", []Part{Host("pve1", T4(slot)).NoIOMMU()}, place.CardNoIOMMU, "HOST-IOMMU-OFF"},
		{"beside a VM that cannot be read", []Part{gpu, VM(110, "nas", "pve1").Unreadable("403")}, place.CardUnknown, "VM 110 may hold it and cannot be read (CARD-HOLDER-UNKNOWN)"},
		{"beside a template that cannot be read", []Part{gpu, Template(9000, "x", "pve1").Unreadable("403")}, place.CardReady, ""},
		{"with a driver of the host, as that says", []Part{Host("pve1", T4(slot)).Change(driver)}, place.CardBlocked, "nouveau has the card (HOST-DRIVER)"},
	} {
		world := Observed(tt.world...)
		verdicts, blind := place.NewCapacity(world).JudgeCards(&world.Hosts[0])
		if len(verdicts) != 1 || verdicts[0].State != tt.state || verdicts[0].Reason != tt.reason {
			t.Errorf("a card that is %s: %+v %s, want %s (%s)", tt.name, verdicts, blind, tt.state, tt.reason)
		}
	}
	for want, host := range map[string]*HostBuilder{
		"the host is offline (HOST-OFFLINE)": Host("pve1", T4(slot)).Offline(),
		"403":                                Host("pve1", T4(slot)).Blind("PCI devices", "403"),
		"":                                   Host("pve1"),
	} {
		world := Observed(host)
		if verdicts, blind := place.NewCapacity(world).JudgeCards(&world.Hosts[0]); blind != want || len(verdicts) > 0 {
			t.Errorf("blind is %q, want %q: %+v", blind, want, verdicts)
		}
	}
	world := Observed(gpu)
	if v, _ := place.NewCapacity(world).RequireFacts().JudgeCards(&world.Hosts[0]); v[0].State != place.CardUnknown {
		t.Errorf("facts are required and there are none: %+v", v)
	}
}
