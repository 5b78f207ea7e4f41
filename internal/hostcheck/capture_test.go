package hostcheck

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/hostcapture"
	"github.com/gpuworker/gpuworker/internal/hosttree"
)

// TestACaptureIsJudgedLikeTheHost holds the list of what is captured and what
// the checks read together: a user's bug report says what the user saw.
func TestACaptureIsJudgedLikeTheHost(t *testing.T) {
	verdicts := func(r *Report) (all []expectation) {
		for _, f := range everything(r) {
			all = append(all, expectation{f.ID, f.Verdict, f.AfterReboot, f.Where.Card})
		}
		return all
	}
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			captured, err := hostcapture.Capture(f.tree)
			if err != nil {
				t.Fatal(err)
			}
			again, err := hosttree.Parse(captured.Format())
			if err != nil {
				t.Fatal(err)
			}
			want, got := Run(f.tree, Options{}), Run(again, Options{})
			if diff := cmp.Diff(verdicts(want), verdicts(got), cmp.AllowUnexported(expectation{})); diff != "" {
				t.Errorf("(-host +captured):\n%s", diff)
			}
		})
	}
}
