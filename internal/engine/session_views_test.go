package engine_test

import (
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestASessionDoesNotKeepAnObservationThatWasMadeDuringItsWork: Terraform reads data
// sources while it makes other resources.
func TestASessionDoesNotKeepAnObservationThatWasMadeDuringItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		s := l.session(nil)
		var group sync.WaitGroup
		group.Go(func() {
			_, _, err := s.Apply(t.Context(), poolOf(t, onePool("gpu", "gpus: [{host: pve1, bdf: \"0000:03:00.0\"}]")), false, acceptAll, engine.ApplyOptions{})
			if err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		during, err := s.Hypervisor(t.Context())
		l.must(err)
		group.Wait()
		after, err := s.Hypervisor(t.Context())
		l.must(err)
		if states := [2]engine.CardState{cardState(during), cardState(after)}; states != [2]engine.CardState{engine.CardReserved, engine.CardInUse} {
			t.Errorf("the card is %v, want it reserved during the work and in use after it", states)
		}
	})
}

func cardState(h engine.Hypervisor) engine.CardState {
	return h.CardViews(engine.CardFilter{Host: "pve1", Model: "Tesla T4"})[0].State
}

// TestTheCheckOfASessionIsThatOfItsHypervisorAlone: whichever pools were declared
// before, the findings are those of Engine.Check for the Hypervisor document.
func TestTheCheckOfASessionIsThatOfItsHypervisorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		e := l.engine("ops@desk", header+onePool("x", "replicas: 1"), nil)
		alone, err := e.Engine.Check(t.Context(), &v1alpha1.Documents{Hypervisors: e.documents.Hypervisors})
		l.must(err)
		want := alone.Hypervisors[0].Findings
		requests := l.counter()
		s := l.session(requests)
		checked, err := s.Check(t.Context())
		l.must(err)
		compareFindings(t, "first", want, checked.Findings)
		once := requests.total()
		_, err = s.Hypervisor(t.Context())
		l.must(err)
		if again := requests.total(); again != once {
			t.Errorf("%d requests for the check, %d more for the cards", once, again-once)
		}
		refused := poolOf(t, onePool("gpu", "gpus: [{host: pve1, bdf: \"0000:41:00.0\"}]\n  networks: [{name: vmbr1}]"))
		_, err = s.Decide(t.Context(), refused, false)
		l.must(err)
		checked, err = s.Check(t.Context())
		l.must(err)
		compareFindings(t, "with a pool", want, checked.Findings)
	})
}

func compareFindings(t *testing.T, when string, want, got []finding.Finding) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// TestCardsAreSelectedByHostModelAndState: a card that cannot be seen has no model.
func TestCardsAreSelectedByHostModelAndState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(w *pvesim.World) {
			at := slices.IndexFunc(w.Hosts, func(h pvesim.Host) bool { return h.Name == "pve3" })
			w.Hosts[at].Offline = true
		})
		seen, err := l.session(nil).Hypervisor(t.Context())
		l.must(err)
		for _, test := range []struct {
			filter engine.CardFilter
			want   []string
		}{
			{engine.CardFilter{}, []string{"pve1 0000:03:00.0", "pve1 0000:41:00.0", "pve2 0000:03:00.0", "pve2 0000:81:00.0", "pve3 "}},
			{engine.CardFilter{Host: "pve2"}, []string{"pve2 0000:03:00.0", "pve2 0000:81:00.0"}},
			{engine.CardFilter{Model: "rtx 3090"}, []string{"pve1 0000:41:00.0"}},
			{engine.CardFilter{Model: "RTX"}, nil},
			{engine.CardFilter{State: engine.CardReady}, []string{"pve1 0000:03:00.0", "pve2 0000:03:00.0"}},
			{engine.CardFilter{State: engine.CardUnknown}, []string{"pve3 "}},
			{engine.CardFilter{Host: "pve2", Model: "T4", State: engine.CardTaken}, []string{"pve2 0000:81:00.0"}},
		} {
			var got []string
			for _, v := range seen.CardViews(test.filter) {
				got = append(got, v.Host+" "+v.BDF.String())
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v selects %q, want %q", test.filter, got, test.want)
			}
		}
		if blind := seen.Blind("pve3"); len(blind) != 1 || blind[0].Reason == "" || len(seen.Blind("pve1")) > 0 {
			t.Errorf("blind: %+v", blind)
		}
	})
}
