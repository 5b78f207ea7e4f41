package host

import "testing"

// scenario is something to try on a machine. Each leaves the machine as it found
// it.
type scenario struct {
	says string
	try  func(*testing.T, *guest)
}

func (g *guest) try(t *testing.T, scenarios ...scenario) {
	for _, s := range scenarios {
		t.Run(s.says, func(t *testing.T) { s.try(t, g) })
	}
}

func TestOnAnIntelHost(t *testing.T) {
	t.Parallel()
	boot(t, intel).try(t,
		scenario{"the groups are those of the board", theGroupsAreThoseOfTheBoard},
		scenario{"the list is the truth", theListIsTheTruth},
		scenario{"the kernel keeps to the rules", theRules},
		scenario{"who holds a card is named", whoHoldsACardIsNamed},
		scenario{"who listens to its sound is named", whoListensIsNamed},
		scenario{"a locked device hides nothing", aLockedDeviceHidesNothing},
		scenario{"a group in use takes no driver of the host", aGroupInUse},
		scenario{"a capture reads like the host", theCaptureReadsLikeTheHost},
		scenario{"after all that the list is the truth", theListIsTheTruth},
	)
}

func TestOnAnAMDHost(t *testing.T) {
	t.Parallel()
	boot(t, amd).try(t,
		scenario{"the groups are those of the board", theGroupsAreThoseOfTheBoard},
		scenario{"the list is the truth", theListIsTheTruth},
		scenario{"the kernel keeps to the rules", theRules},
		scenario{"a capture reads like the host", theCaptureReadsLikeTheHost},
	)
}

func TestOnAHostWithoutIOMMU(t *testing.T) {
	t.Parallel()
	boot(t, none).try(t,
		scenario{"nobody has a group", nobodyHasAGroup},
		scenario{"the list is the truth", theListIsTheTruth},
		scenario{"the kernel keeps to the rules", theRules},
		scenario{"a capture reads like the host", theCaptureReadsLikeTheHost},
	)
}
