package finding

import (
	"fmt"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

func TestEqualFindingsInManyPlacesAreJoined(t *testing.T) {
	var all []Finding
	add := func(id ID, reason string, hosts int) {
		for h := range hosts {
			all = append(all, Finding{ID: id, Verdict: Fail, Reason: reason, Where: fault.Place{Host: fmt.Sprint("h", h)}})
		}
	}
	add(CardNoMatch, "no H100 here", 200)
	add(HostOffline, "the host is offline", 4)
	add(CardNoMatch, "no H100 here", 3)
	groups := Alike(all)
	if len(groups) != 5 || len(groups[0].Others) != 202 || groups[0].Where.Host != "h0" || groups[0].Others[201].Host != "h2" {
		t.Errorf("%d groups, the first: %+v", len(groups), groups[0])
	}
	for _, g := range groups[1:] {
		if g.ID != HostOffline || len(g.Others) != 0 {
			t.Errorf("%+v", g)
		}
	}
}
