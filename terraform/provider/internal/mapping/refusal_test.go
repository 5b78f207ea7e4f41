package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// of is the mapping of another card.
func of(card string) string { return strings.Replace(mapping, "pve1/0000:03:00.0", card, 1) }

// TestWhatIsNoCardOfAHostHasNoMapping: the plan refuses it.
func TestWhatIsNoCardOfAHostHasNoMapping(t *testing.T) {
	for card, want := range map[string]string{
		"pve1/0000:04:00.0": "pve1, card 0000:04:00.0: this is not an NVIDIA GPU: 0000:04:00.0 I210 Gigabit Network Connection (network controller) (CARD-NOT-GPU)\n" +
			"→ gpuworker gpus -f FILE lists the cards",
		"pve1/0000:99:00.0": "pve1, card 0000:99:00.0: the host has no device at this address; it has 0000:03:00.0 Tesla T4, 0000:41:00.0 GeForce RTX 3090 (CARD-MISSING)\n" +
			"→ gpuworker gpus -f FILE lists the cards; addresses change when cards are added or moved",
		"pve9/0000:03:00.0": "pve9: there is no host of this name; the hypervisor has pve1, pve2, pve3 (HOST-UNKNOWN)\n→ correct the name in the document: gpuworker hosts -f FILE",
		"pve2/0000:81:00.0": "pve2, card 0000:81:00.0: make the mapping: mapping vdi-t4 has this card already, and a card should have one mapping\n" +
			"→ if no VM uses vdi-t4 for this card, take the card out of it (web interface: Datacenter, Resource Mappings); or make no mapping ahead: the claim of a worker makes its own",
	} {
		t.Run(strings.ReplaceAll(card, "/", " "), func(t *testing.T) {
			l := testlab.New(t)
			resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{{
				Config: of(card), PlanOnly: true, ExpectError: testlab.Error(address, "The mapping cannot be made", `card = "`+card+`"`, want),
			}}})
			l.Expect("error at card: The mapping cannot be made: " + want)
		})
	}
}

// TestTwoMappingsOfOneCardAreRefused, whatever their spelling, and when the card is known
// only during the apply too.
func TestTwoMappingsOfOneCardAreRefused(t *testing.T) {
	const (
		summary = "Two resources have the same card"
		detail  = "card pve1/0000:03:00.0 is in two resources, and a card has one mapping\n" +
			"→ give each its own card, or remove one of them: removed { lifecycle { destroy = false } } keeps the mapping"
		later = `
resource "terraform_data" "later" {}

resource "gpuworker_pci_mapping" "later" {
  card = "pve1/0000:03:00.${length(terraform_data.later.id) > 99 ? 1 : 0}"
}
`
	)
	l := testlab.New(t)
	other := strings.Replace(of("pve1/03:00"), `"t4"`, `"again"`, 1)
	refused := func() { l.Expect("error at card: " + summary + ": " + detail) }
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: mapping + other, ExpectError: testlab.OnlyError(summary, detail)},
		{PreConfig: refused, Config: mapping},
		{Config: mapping + other, ExpectError: testlab.OnlyError(summary, detail)},
		{PreConfig: refused, Config: mapping + later, ExpectError: testlab.OnlyError(summary, detail)},
	}})
	refused()
	if all := names(t, l); len(all) != 1 {
		t.Errorf("there are the mappings %v", all)
	}
}

// TestTheCardOfAMappingCannotBecomeWhatIsNoGPU, and the mapping stays.
func TestTheCardOfAMappingCannotBecomeWhatIsNoGPU(t *testing.T) {
	l := testlab.New(t)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: mapping},
		{Config: of("pve1/0000:04:00.0"), ExpectError: testlab.Says("The mapping cannot be made", "pve1, card 0000:04:00.0: this is not an NVIDIA GPU")},
		{Config: mapping, ConfigPlanChecks: does(plancheck.ResourceActionNoop)},
	}})
}

func does(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

const (
	notKnown = "warning at card: It is not known whether the mapping can be made: pve1, card 0000:03:00.0: the host is offline (HOST-OFFLINE)\n" +
		"→ bring the host back, then run the same command again"
	notCompared = "warning: The mapping cannot be compared with the hardware now: pve1, card 0000:03:00.0: read the PCI devices: GET /nodes/pve1/hardware/pci: No route to host (595)\n" +
		"→ bring the host back, then run the same command again"
	notCorrected = "warning at card: The mapping is stale and cannot be corrected now: pve1, card 0000:03:00.0: the host is offline (HOST-OFFLINE)\n" +
		"→ bring the host back, then run the same command again"
	notMade = "pve1, card 0000:03:00.0: make the mapping: GET /nodes/pve1/hardware/pci: No route to host (595)\n" +
		"→ check that the host is up and the endpoint is correct, then run the same command again"
)

// TestAMappingOnAHostThatIsOff: a plan warns, and what exists stays in the state as it is.
func TestAMappingOnAHostThatIsOff(t *testing.T) {
	l := testlab.New(t)
	online := func(on bool, said ...string) func() {
		return func() {
			l.Expect(said...)
			l.Must(l.Sim.SetHostOnline("pve1", on))
		}
	}
	then := func(said string, do func()) func() { return func() { l.Expect(said); do() } }
	noop := does(plancheck.ResourceActionNoop)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{PreConfig: online(false), Config: mapping, PlanOnly: true, ExpectNonEmptyPlan: true},
		{PreConfig: online(false, notKnown), Config: mapping, ExpectError: testlab.Error(address, "The mapping was not made", `resource "gpuworker_pci_mapping" "t4" {`, notMade)},
		{PreConfig: online(true, notKnown, "error: The mapping was not made: "+notMade), Config: mapping},
		{PreConfig: online(false), Config: mapping, ConfigPlanChecks: noop, Check: resource.TestCheckResourceAttr(address, "entry", entry)},
		{PreConfig: then(notCompared, func() { online(true)(); makeStale(l)() }), RefreshState: true, ExpectNonEmptyPlan: true, Check: isStale},
		{PreConfig: online(false), Config: mapping, ConfigPlanChecks: noop, Check: isStale},
		{
			PreConfig: func() { l.Expect(notCompared, notCorrected) }, Config: of("pve1/03:00"),
			ExpectError: testlab.Says("The mapping is stale and cannot be corrected now", strings.TrimPrefix(notCorrected, "warning at card: The mapping is stale and cannot be corrected now: ")),
		},
		{
			PreConfig: online(true, notCompared, strings.Replace(notCorrected, "warning", "error", 1)), Config: mapping,
			ConfigPlanChecks: does(plancheck.ResourceActionUpdate), Check: resource.TestCheckResourceAttr(address, "entry", entry),
		},
	}})
	l.Expect()
}

// TestAMappingWhoseCardIsGoneStaysAsItIs: the plan says what is wrong, and does not point
// the mapping to another device.
func TestAMappingWhoseCardIsGoneStaysAsItIs(t *testing.T) {
	l := testlab.New(t)
	change := func(change func(all []pvesim.PCIFunction, at int) []pvesim.PCIFunction) func() {
		return func() {
			all, err := l.Sim.PCI("pve1")
			l.Must(err)
			at := slices.IndexFunc(all, func(f pvesim.PCIFunction) bool { return f.Address == "0000:03:00.0" })
			l.Said()
			l.Must(l.Sim.SetPCI("pve1", change(all, at)))
		}
	}
	gone := change(func(all []pvesim.PCIFunction, at int) []pvesim.PCIFunction { return slices.Delete(all, at, at+1) })
	another := change(func(all []pvesim.PCIFunction, at int) []pvesim.PCIFunction {
		network := all[slices.IndexFunc(all, func(f pvesim.PCIFunction) bool { return f.Address == "0000:04:00.0" })]
		network.Address = "0000:03:00.0"
		if at >= 0 {
			return slices.Replace(all, at, at+1, network)
		}
		return append(all, network)
	})
	const stays = "warning at card: The mapping is stale and cannot be corrected now: "
	noop := does(plancheck.ResourceActionNoop)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: mapping},
		{PreConfig: gone, Config: mapping, ConfigPlanChecks: noop, Check: resource.TestCheckResourceAttr(address, "stale", "the card is not present any more")},
		{
			PreConfig: func() {
				l.Expect(stays + "pve1, card 0000:03:00.0: the host has no device at this address; it has 0000:41:00.0 GeForce RTX 3090 (CARD-MISSING)\n" +
					"→ gpuworker gpus -f FILE lists the cards; addresses change when cards are added or moved")
				another()
			},
			Config: mapping, ConfigPlanChecks: noop,
		},
	}})
	l.Expect(stays + "pve1, card 0000:03:00.0: this is not an NVIDIA GPU: 0000:03:00.0 I210 Gigabit Network Connection (network controller) (CARD-NOT-GPU)\n→ gpuworker gpus -f FILE lists the cards")
}
