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
	type said struct {
		expectation
		reason, fix, then string
	}
	verdicts := func(r *Report) (all []said) {
		for _, f := range everything(r) {
			all = append(all, said{expectation{f.ID, f.Verdict, f.AfterReboot, f.Where.Card}, f.Reason, f.Fix, f.Then})
		}
		return all
	}
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			captured, err := hostcapture.Capture(f.tree, hostcapture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := hosttree.Parse(captured.Format())
			if err != nil {
				t.Fatal(err)
			}
			want, got := Run(f.tree, Options{}), Run(again, Options{})
			if diff := cmp.Diff(verdicts(want), verdicts(got), cmp.AllowUnexported(expectation{}, said{})); diff != "" {
				t.Errorf("(-host +captured):\n%s", diff)
			}
		})
	}
}
