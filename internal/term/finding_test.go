package term

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
)

var found = []Finding{
	{Finding: finding.Finding{Layer: finding.LayerGroup, Verdict: finding.Fail, ID: "GROUP", Reason: "the card is not alone", Fix: "move the other card to another slot, and look again"},
		Evidence: []string{"/sys/kernel/iommu_groups/14/devices: 0000:01:00.0 0000:02:00.0"}, Then: "it is alone"},
	{Finding: finding.Finding{Layer: finding.LayerHost, Verdict: finding.Pass, ID: "ROOT", Reason: "it is root", Fix: "never shown"}},
	{Finding: finding.Finding{Layer: finding.LayerHost, Verdict: finding.Pass, ID: "SLEEP", Reason: "it sleeps"}, Later: "this fails"},
	{Finding: finding.Finding{Layer: finding.LayerHost, Verdict: finding.Unknown, ID: "DRIVER", Reason: "nobody can see \x1b[31mit"}},
}

func report(p Printer, verbose bool) string {
	var out strings.Builder
	p.Out = &out
	p.Findings(found, verbose)
	p.NotEvaluated([]finding.Layer{finding.LayerVM})
	return out.String()
}

func TestFindingsAreReportedByLayerAndPassesCounted(t *testing.T) {
	want := ` ✓ host      1 passed
 ✓           it sleeps [SLEEP]
             ↻ this fails
 ?           nobody can see \x1b[31mit [DRIVER]
 ✗ group     the card is not alone [GROUP]
             │ /sys/kernel/iommu_groups/14/devices:
               0000:01:00.0 0000:02:00.0
             → move the other card to another slot,
               and look again
               afterwards: it is alone
 · vm        not evaluated
`
	for _, colour := range []bool{false, true} {
		if diff := cmp.Diff(want, stripped(report(Printer{Width: 52, Paint: Paint{On: colour}}, false))); diff != "" {
			t.Errorf("colour %v (-want +got):\n%s", colour, diff)
		}
	}
}

func TestVerboseShowsPassesInALine(t *testing.T) {
	if got := report(Printer{}, true); !strings.HasPrefix(got, " ✓ host      it is root\n ✓           it sleeps [SLEEP]\n") {
		t.Error(got)
	}
}

func TestRefusalsAreAlignedAndShareOneFix(t *testing.T) {
	at := func(host, reason, fix string) finding.Finding {
		return finding.Finding{ID: "TAKEN", Where: fault.Place{Host: host}, Reason: reason, Fix: fix}
	}
	all := []finding.Finding{
		at("pve1", "its card is taken by a VM of somebody else", "stop it"), at("pve-two", "it has no card", "stop it"),
		at("p1", "offline", ""), at("p2", "offline", ""), at("p3", "offline", ""), at("p4", "offline", ""), at("p5", "offline", ""),
	}
	var out strings.Builder
	Printer{Out: &out, Width: 46}.ByPlace(all, 4)
	want := `    pve1     its card is taken by a VM of
             somebody else (TAKEN)
    pve-two  it has no card (TAKEN)
             → stop it
    p1       offline (TAKEN); the same: p2,
             p3, p4, p5
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
