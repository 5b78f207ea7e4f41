package pvesim

import (
	"slices"
	"strings"
	"testing"
)

func TestWhoMayNotIsRefusedBeforeACallIsNotSimulated(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		for path, want := range map[string]string{
			"PUT /cluster/options":                                 "Permission check failed (/, Sys.Modify)",
			"PUT /nodes/pve1/time":                                 "Permission check failed (/nodes/pve1, Sys.Modify)",
			"POST /storage":                                        "Permission check failed (/storage, Datastore.Allocate)",
			"DELETE /storage/local":                                "Permission check failed (/storage, Datastore.Allocate)",
			"POST /nodes/pve1/hosts":                               "Permission check failed (/nodes/pve1, Sys.Modify)",
			"POST /nodes/pve1/qemu/100/agent/suspend-ram":          "Permission check failed (/vms/100, VM.PowerMgmt|VM.GuestAgent.Unrestricted)",
			"POST /nodes/pve1/storage/local/content/local:iso/x/y": "Permission check failed",
		} {
			method, path, _ := strings.Cut(path, " ")
			sim.as(t, auditToken).do(method, path).refused(403, want)
			sim.asRoot(t, rootPass).do(method, path).refused(501, "Method '"+method+" "+path+"' not implemented")
		}
		sim.as(t, weakToken).do("GET", "/nope").refused(501, "Method 'GET /nope' not implemented")
	})
}

func TestAllCallsThatAreNotSimulatedAreKnown(t *testing.T) {
	var want, got []string
	for _, e := range Ledger() {
		if !e.Implemented {
			want = append(want, e.Method+" "+e.Path)
		}
	}
	for _, c := range absentCalls() {
		got = append(got, c.key())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("absentCalls has\n%s\nthe ledger says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPrivilegesOfAbsentCallsAreThoseOfTheTable(t *testing.T) {
	table := apiTable(t)
	sim, probe := newProbed(t)
	for _, c := range absentCalls() {
		d := table[c.key()]
		if d.Permissions == nil || d.Permissions.User == "all" {
			continue
		}
		for _, values := range valuesFor(d) {
			all := checkTree(d.Permissions.Check).grants(values)
			for _, has := range append(subsets(all), elsewhere(sim, all)) {
				want := map[bool]int{true: 501, false: 403}[checkTree(d.Permissions.Check).passes(has, values)]
				sim.give(has)
				if got := probe.do(c.method, fill(declaredPath(c.path), values)); got.code != want {
					t.Errorf("%s with %v of %v: %d %s, want %d", c.key(), has, all, got.code, got.reason, want)
				}
			}
		}
	}
}
