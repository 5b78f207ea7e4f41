package e2e

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// aliases is a workspace with a provider block for each of two clusters, which may be one
// cluster, and a worker of this name in each, on the card of pve1.
func aliases(t *testing.T, north, south *testlab.Lab, names ...string) *workspace {
	t.Helper()
	clusters := map[string]map[string]string{}
	for i, l := range []*testlab.Lab{north, south} {
		clusters[[]string{"north", "south"}[i]] = map[string]string{"endpoint": l.Endpoint, "fingerprint": l.Fingerprint, "name": names[i]}
	}
	text, err := json.Marshal(clusters)
	must(t, err)
	w := newWorkspace(t, "terraform/provider/e2e/testdata/aliases", []string{"GPUWORKER_TOKEN=" + north.Tokens["engine"], "TF_VAR_clusters=" + string(text)})
	w.start()
	return w
}

// TestTwoClustersByAlias: workers of the same name, and on cards of the same address, are
// different ones.
func TestTwoClustersByAlias(t *testing.T) {
	t.Parallel()
	north, south := testlab.Start(t), testlab.Start(t)
	w := aliases(t, north, south, "gpu-1", "gpu-1")
	w.says(w.apply(), "Apply complete! Resources: 2 added, 0 changed, 0 destroyed.")
	var uuids []string
	w.output("uuids", &uuids)
	for i, l := range []*testlab.Lab{north, south} {
		wantVMs(t, l, map[string]string{"gpu-1": t4})
		if got := l.UUID("gpu-1"); got != uuids[i] {
			t.Errorf("the state has UUID %s, the VM has %s", uuids[i], got)
		}
	}
	if uuids[0] == uuids[1] {
		t.Errorf("both workers are VM %s", uuids[0])
	}
}

// TestTwoAliasesOfOneCluster: each block has its own process, which does not know what the
// other plans. So it is the claim that prevents that two workers get one card.
func TestTwoAliasesOfOneCluster(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := aliases(t, l, l, "gpu-1", "gpu-2")
	out := w.ends(1, "apply", "-no-color", "-auto-approve")
	made := slices.Collect(maps.Keys(ours(l)))
	if len(made) != 1 {
		t.Fatalf("there are the VMs %v, want one", made)
	}
	winner, loser := made[0], map[string]string{"gpu-1": "gpu-2", "gpu-2": "gpu-1"}[made[0]]
	w.says(out, "→ choose another card, or delete that worker first: gpuworker delete -f FILE "+winner)
	// The loser has planned before the claim, or after it.
	claimed := regexp.MustCompile(`Error: Worker ` + loser + ` (was not made as planned|is refused) .*pve1, card 0000:03:00.0: .*claimed (by|for) worker ` + winner + ` of pool ` + winner)
	if !claimed.MatchString(flat(out)) {
		t.Errorf("terraform does not say %s:\n%s", claimed, out)
	}
	wantVMs(t, l, map[string]string{winner: t4})

	w.refused("Error: Worker "+loser+` is refused
		VM 9100 on pve1, card 0000:03:00.0: attached to VM 9100 "`+winner+`", worker `+winner+" of pool "+winner+`, running (CARD-HELD)
		→ choose another card, or delete that worker first: gpuworker delete -f FILE `+winner, "plan", "-no-color")
}
