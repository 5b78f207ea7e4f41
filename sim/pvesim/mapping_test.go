package pvesim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAMappingIsACompareAndSwapRegister(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		const path = "/cluster/mapping/pci/gpu-1"
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-1", "map", t4pve1, "description", "v0").ok()
		digest := func() string { return engine.do("GET", path).object()["digest"].(string) }
		first := digest()
		engine.do("PUT", path, "description", "v1", "map", t4pve1, "digest", first).ok()
		engine.do("PUT", path, "description", "v2", "map", t4pve1, "digest", first).
			refused(500, "update hardware mapping failed: detected modified configuration - file changed by other user? Try again.")
		if got := sim.State().Mappings["gpu-1"].Description; got != "v1" {
			t.Errorf("the description is %q, want that of the winner", got)
		}
		// The digest is the whole file's: a change of another mapping makes it stale.
		second := digest()
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-2", "map", t4pve2).ok()
		engine.do("PUT", path, "description", "v2", "map", t4pve1, "digest", second).
			refused(500, "update hardware mapping failed: detected modified configuration - file changed by other user? Try again.")
		all := map[any]bool{}
		for _, m := range engine.do("GET", "/cluster/mapping/pci").list() {
			all[m.(map[string]any)["digest"]] = true
		}
		if len(all) != 1 {
			t.Errorf("%d digests in one list, want the same for all mappings", len(all))
		}
		// Deleting takes none, and does not mind what is gone.
		if got := engine.do("DELETE", path, "digest", second); got.code != 400 {
			t.Errorf("a digest for DELETE: %d %s", got.code, got.reason)
		}
		engine.do("DELETE", path).ok()
		engine.do("DELETE", path).ok()
		engine.do("GET", path).refused(500, "mapping 'gpu-1' not found")
	})
}

func TestMappingsAreRefused(t *testing.T) {
	const path = "/cluster/mapping/pci/vdi-t4"
	for name, tc := range map[string]struct {
		method, path string
		fields       []string
		reason       string
		field, text  string // of a 400
	}{
		"an id that is taken":            {"POST", "/cluster/mapping/pci", []string{"id", "vdi-t4", "map", t4pve1}, "create hardware mapping failed: pci ID 'vdi-t4' already defined", "", ""},
		"a change without map":           {"PUT", path, []string{"description", "x"}, "update hardware mapping failed: missing value for required option 'map'", "", ""},
		"a change of nothing":            {"PUT", path, nil, "update hardware mapping failed: missing value for required option 'map'", "", ""},
		"a stale digest and no map":      {"PUT", path, []string{"digest", "00"}, "update hardware mapping failed: detected modified configuration - file changed by other user? Try again.", "", ""},
		"one that is not there":          {"PUT", "/cluster/mapping/pci/nope", []string{"description", "x"}, "update hardware mapping failed: pci ID 'nope' does not exist", "", ""},
		"two lines of description":       {"PUT", path, []string{"description", "a\nb", "map", t4pve2b}, "update hardware mapping failed: property contains a line feed", "", ""},
		"two lines from the start":       {"POST", "/cluster/mapping/pci", []string{"id", "new", "description", "a\nb", "map", t4pve1}, "property contains a line feed", "", ""},
		"deleting the map":               {"PUT", path, []string{"delete", "map", "map", t4pve2b}, "update hardware mapping failed: unable to delete required option 'map'", "", ""},
		"deleting what no option is":     {"PUT", path, []string{"delete", "nope", "map", t4pve2b}, "update hardware mapping failed: no such option 'nope'", "", ""},
		"no map at all":                  {"POST", "/cluster/mapping/pci", []string{"id", "new"}, "", "map", "property is missing and it is not optional"},
		"a map without host":             {"POST", "/cluster/mapping/pci", []string{"id", "new", "map", "path=0000:03:00.0,id=10de:1eb8"}, "", "map[0]", "invalid format - format error\nmap[0].node: property is missing and it is not optional\n"},
		"an address without domain":      {"POST", "/cluster/mapping/pci", []string{"id", "new", "map", "node=pve1,path=03:00.0,id=10de:1eb8"}, "", "map[0]", "invalid format - format error\nmap[0].path: value does not match the regex pattern\n"},
		"an address in capitals":         {"POST", "/cluster/mapping/pci", []string{"id", "new", "map", "node=pve1,path=0000:AF:00.0,id=10de:1eb8"}, "", "map[0]", "invalid format - format error\nmap[0].path: value does not match the regex pattern\n"},
		"nonsense in the second map":     {"POST", "/cluster/mapping/pci", []string{"id", "new", "map", t4pve1, "map", "nonsense"}, "", "map[1]", "invalid format - value without key, but schema does not define a default key\n"},
		"an id that begins with a digit": {"POST", "/cluster/mapping/pci", []string{"id", "1bad", "map", t4pve1}, "", "id", "invalid format - invalid configuration ID '1bad'\n"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim := newSim(t, homelab(t))
				before := sim.State().Mappings
				got := sim.as(t, engineToken).do(tc.method, tc.path, tc.fields...)
				if tc.field == "" {
					got.refused(500, tc.reason)
				} else if got.code != 400 || got.errors[tc.field] != tc.text || len(got.errors) != 1 {
					t.Errorf("got %d %v, want 400 with %s: %q", got.code, got.errors, tc.field, tc.text)
				}
				if diff := cmp.Diff(before, sim.State().Mappings); diff != "" {
					t.Errorf("a refused call changed mappings:\n%s", diff)
				}
			})
		})
	}
}

func TestCheckNodeSaysWhatIsWrongWithAMapping(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		want := map[string]string{
			"vdi-t4": "warning No mapping for node pve1.",
			"good":   "",
			"gone":   "error Invalid configuration: pci device '0000:99:00.0' not found\n",
			"id":     "error Invalid configuration: 'id' does not match for 'id' (10de:1eb8 != 10de:1eb9)\n",
			"group":  "error Invalid configuration: 'iommugroup' does not match for 'group' (14 != 15)\n",
			"loose":  "error Invalid configuration: missing expected property 'iommugroup' for device '0000:03:00.0'\n",
		}
		for id, entry := range map[string]string{"good": t4pve1, "gone": strings.Replace(t4pve1, "03:00", "99:00", 1),
			"id": strings.Replace(t4pve1, "1eb8", "1eb9", 1), "group": strings.Replace(t4pve1, "=14", "=15", 1),
			"loose": strings.Replace(t4pve1, ",iommugroup=14", "", 1)} {
			engine.do("POST", "/cluster/mapping/pci", "id", id, "map", entry).ok()
		}
		got := map[string]string{}
		for _, m := range engine.do("GET", "/cluster/mapping/pci", "check-node", "pve1").list() {
			entry := m.(map[string]any)
			got[entry["id"].(string)] = ""
			for _, c := range entry["checks"].([]any) {
				check := c.(map[string]any)
				got[entry["id"].(string)] = check["severity"].(string) + " " + check["message"].(string)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("checks (-want +got):\n%s", diff)
		}
		engine.do("GET", "/cluster/mapping/pci", "check-node", "pve9").refused(500,
			"hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known")
	})
}

func TestTheHardwareListHidesBridgesAndNeverShowsDrivers(t *testing.T) {
	play(t, func(t *testing.T) {
		engine := newSim(t, homelab(t)).as(t, engineToken)
		group := func(host string, query ...string) map[string]float64 {
			out := map[string]float64{}
			for _, f := range engine.do("GET", "/nodes/"+host+"/hardware/pci", query...).list() {
				entry := f.(map[string]any)
				out[entry["id"].(string)] = entry["iommugroup"].(float64)
				if _, shown := entry["driver"]; shown {
					t.Error("the list shows a driver; no version of the API does")
				}
			}
			return out
		}
		visible, all := group("pve1"), group("pve1", "pci-class-blacklist", "")
		if _, shown := visible["0000:40:01.1"]; shown || all["0000:40:01.1"] != 27 || visible["0000:42:00.0"] != 27 {
			t.Errorf("a bridge is shown without asking (%v), or groups are wrong: %v", shown, all)
		}
		if got := group("pve1", "pci-class-blacklist", "03;02;01;0c;04"); len(got) != 4 {
			t.Errorf("without display, network, storage, USB and audio there are %v", got)
		}
		for address, g := range group("pve3", "pci-class-blacklist", "") {
			if g != -1 {
				t.Errorf("on a host without IOMMU %s has group %v, want -1", address, g)
			}
		}
	})
}
