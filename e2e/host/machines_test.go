package host

import "testing"

// scenario is one test on a machine. At its end, the machine is in its initial state.
type scenario struct {
	says string
	try  func(*testing.T, *guest)
}

func (g *guest) try(t *testing.T, scenarios ...scenario) {
	for _, s := range scenarios {
		t.Run(s.says, func(t *testing.T) { s.try(t, g) })
	}
}

// giving are the scenarios for machines with an IOMMU.
var giving = []scenario{
	{says: "the check finds who has the card", try: theCheckFindsWhoHasTheCard},
	{says: "the check is content with a given card", try: theCheckIsContentWithAGivenCard},
	{says: "a plan moves nothing", try: aPlanMovesNothing},
	{says: "a card is given and taken back", try: aCardIsGivenAndTakenBack},
	{says: "a shared group is refused", try: aSharedGroupIsRefused},
}

func TestOnAnIntelHost(t *testing.T) {
	t.Parallel()
	g := boot(t, intel)
	g.try(t,
		scenario{says: "the groups are those of the board", try: theGroupsAreThoseOfTheBoard},
		scenario{says: "the list is the truth", try: theListIsTheTruth},
		scenario{says: "the kernel keeps to the rules", try: theRules},
		scenario{says: "who holds a card is named", try: whoHoldsACardIsNamed},
		scenario{says: "who listens to its sound is named", try: whoListensIsNamed},
		scenario{says: "a locked device hides nothing", try: aLockedDeviceHidesNothing},
		scenario{says: "a group in use takes no driver of the host", try: aGroupInUse},
		scenario{says: "a capture reads like the host", try: theCaptureReadsLikeTheHost},
	)
	g.try(t, giving...)
	g.try(t,
		scenario{says: "a card in use is refused", try: aCardInUseIsRefused},
		scenario{says: "the check does not pass a locked card", try: theCheckDoesNotPassALockedCard},
		// Not on the emulated AMD IOMMU: there the sound has no codec and cannot be opened.
		scenario{says: "a card with listeners is refused", try: aCardWithListenersIsRefused},
		scenario{says: "killed anywhere it goes on", try: killedAnywhereItGoesOn},
		scenario{says: "after all that the list is the truth", try: theListIsTheTruth},
		scenario{says: "what is given stays given after a reboot", try: afterAReboot},
	)
}

func TestOnAnAMDHost(t *testing.T) {
	t.Parallel()
	g := boot(t, amd)
	g.try(t,
		scenario{says: "the groups are those of the board", try: theGroupsAreThoseOfTheBoard},
		scenario{says: "the list is the truth", try: theListIsTheTruth},
		scenario{says: "the kernel keeps to the rules", try: theRules},
		scenario{says: "a capture reads like the host", try: theCaptureReadsLikeTheHost},
	)
	g.try(t, giving...)
}

func TestOnAHostWithoutIOMMU(t *testing.T) {
	t.Parallel()
	boot(t, none).try(t,
		scenario{says: "nobody has a group", try: nobodyHasAGroup},
		scenario{says: "the list is the truth", try: theListIsTheTruth},
		scenario{says: "the kernel keeps to the rules", try: theRules},
		scenario{says: "a capture reads like the host", try: theCaptureReadsLikeTheHost},
		scenario{says: "the check names the firmware", try: blocked("HOST-IOMMU-OFF-FIRMWARE")},
		scenario{says: "a card is refused", try: withoutIOMMUItIsRefused},
	)
}

func TestOnAHostThatWasToldNotToUseItsIOMMU(t *testing.T) {
	t.Parallel()
	m := intel
	m.name, m.kernel = "told", "intel_iommu=off"
	boot(t, m).try(t,
		scenario{says: "nobody has a group", try: nobodyHasAGroup},
		scenario{says: "the check names the kernel", try: blocked("HOST-IOMMU-OFF-KERNEL")},
	)
}

func TestOnAHostWithoutInterruptRemapping(t *testing.T) {
	t.Parallel()
	m := intel
	m.name, m.devices = "no-remapping", []string{"intel-iommu,intremap=off,caching-mode=on"}
	boot(t, m).try(t,
		scenario{says: "the groups are those of the board", try: theGroupsAreThoseOfTheBoard},
		scenario{says: "the check names the interrupts", try: blocked("HOST-NO-INTERRUPT-REMAPPING")},
		scenario{says: "what the kernel does not let go is stuck until the reboot", try: aCardThatIsStuck}, // the last one: it stays so
	)
}
