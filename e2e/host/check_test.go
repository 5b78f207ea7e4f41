package host

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// report is the part of "gpuworker-host check -o json" that the tests need.
type report struct {
	Now      string    `json:"now"`
	Findings []finding `json:"findings"`
	Cards    []struct {
		BDF      string    `json:"bdf"`
		Now      string    `json:"now"`
		Findings []finding `json:"findings"`
	} `json:"cards"`
}

type finding struct {
	ID      string `json:"id"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
}

// check checks one card, and fails the test unless the tool ends with the code.
func (g *guest) check(t *testing.T, code int, bdf string) report {
	t.Helper()
	r := g.tool(t, "check", bdf, "-o", "json")
	var got report
	if err := json.Unmarshal([]byte(r.Text), &got); err != nil || r.Code != code || len(got.Cards) != 1 || got.Cards[0].BDF != bdf {
		t.Fatalf("check %s: exit %d, not %d; %v\n%s%s", bdf, r.Code, code, err, r.Text, r.Stderr)
	}
	return got
}

// verdict returns the finding with this ID, the failing one if there are several; it
// is empty when there is none.
func (r report) verdict(id string) finding {
	var found finding
	for _, f := range append(r.Findings, r.Cards[0].Findings...) {
		if f.ID == id && found.Verdict != "fail" {
			found = f
		}
	}
	return found
}

// says fails the test unless the report has these verdicts by ID.
func (r report) says(t *testing.T, want map[string]string) {
	t.Helper()
	for id, verdict := range want {
		if got := r.verdict(id); got.Verdict != verdict {
			t.Errorf("check of %s: %s is %q, not %q: %s", r.Cards[0].BDF, id, got.Verdict, verdict, got.Reason)
		}
	}
}

// healthy are the verdicts of a host with an IOMMU of any vendor.
var healthy = map[string]string{
	"HOST-IOMMU-OFF-FIRMWARE": "pass", "HOST-IOMMU-OFF-KERNEL": "pass", "HOST-NO-INTERRUPT-REMAPPING": "pass", "HOST-VFIO-MISSING": "pass",
}

func theCheckFindsWhoHasTheCard(t *testing.T, g *guest) {
	r := g.check(t, 3, card)
	r.says(t, healthy)
	r.says(t, map[string]string{
		"HOST-NO-GROUP": "pass", "HOST-GROUP-FOREIGN-DEVICE": "pass",
		"HOST-DRIVER-OWNS-CARD": "fail", "HOST-FUNCTIONS-LEFT-BEHIND": "fail",
	})
	if why := r.verdict("HOST-DRIVER-OWNS-CARD").Reason; !strings.Contains(why, "bochs-drm") {
		t.Errorf("it does not name the driver: %s", why)
	}
	r = g.check(t, 3, shared)
	r.says(t, map[string]string{"HOST-GROUP-FOREIGN-DEVICE": "fail"})
	if why := r.verdict("HOST-GROUP-FOREIGN-DEVICE").Reason; !strings.Contains(why, nic) {
		t.Errorf("it does not name the mate: %s", why)
	}
}

func theCheckIsContentWithAGivenCard(t *testing.T, g *guest) {
	g.give(t)
	defer g.takeBack(t)
	r := g.check(t, 0, card)
	r.says(t, healthy)
	r.says(t, map[string]string{"HOST-DRIVER-OWNS-CARD": "pass", "HOST-FUNCTIONS-LEFT-BEHIND": "pass"})
	if r.Cards[0].Now == "fail" {
		t.Errorf("the card fails: %+v", r)
	}
}

// theCheckDoesNotPassALockedCard: while an unbind hangs, the link to the driver is
// already gone, but the driver still has the card.
func theCheckDoesNotPassALockedCard(t *testing.T, g *guest) {
	g.give(t)
	defer g.takeBack(t)
	release := g.hold(t)
	defer release()
	g.do(t, call.Request{Op: call.Write, Path: "/sys/bus/pci/drivers/vfio-pci/unbind", Text: card, Patience: 500})
	r := g.tool(t, "check", card, "-o", "json")
	var got report
	if err := json.Unmarshal([]byte(r.Text), &got); err != nil || len(got.Cards) != 1 {
		t.Fatalf("exit %d, %v\n%s%s", r.Code, err, r.Text, r.Stderr)
	}
	if got.Cards[0].Now == "pass" {
		t.Errorf("a card that is locked passes: %s", r.Text)
	}
	if f := got.verdict("HOST-DRIVER-OWNS-CARD"); f.Verdict == "pass" {
		t.Errorf("an unknown driver is reported as none: %s", f.Reason)
	}
}

// blocked checks a host on which the finding with this ID fails, so that the cards are
// not evaluated.
func blocked(id string) func(*testing.T, *guest) {
	return func(t *testing.T, g *guest) {
		r := g.check(t, 3, card)
		r.says(t, map[string]string{id: "fail", "HOST-DRIVER-OWNS-CARD": "", "HOST-NO-GROUP": ""})
	}
}
