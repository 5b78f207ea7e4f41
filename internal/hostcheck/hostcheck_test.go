package hostcheck

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
)

func TestAHealthyHostPasses(t *testing.T) {
	r := Run(base(t), Options{})
	if r.Now != finding.Pass || r.AfterReboot != finding.Pass || len(r.Cards) != 2 {
		t.Errorf("now %s, after the reboot %s, %d cards:\n%s", r.Now, r.AfterReboot, len(r.Cards), tell(notable(r)))
	}
	for _, c := range r.Cards {
		if c.Now != finding.Pass || c.AfterReboot != finding.Pass || len(c.NotEvaluated) > 0 {
			t.Errorf("%s: now %s, after the reboot %s, not evaluated: %v\n%s", c.BDF, c.Now, c.AfterReboot, c.NotEvaluated, tell(c.Findings))
		}
	}
	for _, f := range everything(r) {
		if f.Verdict == finding.Fail || f.Verdict == finding.Unknown {
			t.Errorf("a healthy host has\n%s", tell([]Finding{f}))
		}
	}
}

func TestEachConditionIsFound(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			r := Run(f.tree, Options{})
			if len(f.expects) == 0 {
				t.Fatal("the fixture expects nothing")
			}
			for _, got := range notable(r) {
				alarming := worst(got.Verdict, got.AfterReboot) != finding.Pass
				if e := (expectation{got.ID, got.Verdict, got.AfterReboot, got.Where.Card}); alarming && !slices.Contains(f.expects, e) {
					t.Errorf("nobody expects\n%s", tell([]Finding{got}))
				}
			}
			for _, want := range f.expects {
				if !slices.ContainsFunc(everything(r), func(g Finding) bool {
					return g.ID == want.id && g.Verdict == want.now && g.AfterReboot == want.after && g.Where.Card == want.card
				}) {
					t.Errorf("want %+v, found:\n%s", want, tell(everything(r)))
				}
			}
		})
	}
}
