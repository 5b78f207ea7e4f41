package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

func TestWithoutRecordingsNothingIsCheckedAndThatIsReported(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PVE_RECORDINGS", "")
	var out strings.Builder
	if err := run(context.Background(), "", 20, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "NOT CHECKED") || !strings.Contains(out.String(), "PVE_RECORDINGS") {
		t.Errorf("it said %q", out.String())
	}
}

func TestRecordingsThatAreNamedMustBeThere(t *testing.T) {
	t.Setenv("PVE_RECORDINGS", filepath.Join(t.TempDir(), "nope"))
	var out strings.Builder
	err := run(context.Background(), "", 20, &out)
	if err == nil || !strings.Contains(err.Error(), "PVE_RECORDINGS") {
		t.Errorf("got %v, want an error that names the variable", err)
	}
	t.Setenv("PVE_RECORDINGS", t.TempDir())
	err = run(context.Background(), "", 20, &out)
	if err == nil || !strings.Contains(err.Error(), "no scenarios") {
		t.Errorf("got %v, want an error that says that there are no scenarios", err)
	}
}

// comparer replaces the program replay of the recordings: it asks the simulator for its
// version, and reports the scenarios named "wrong" as failed.
const comparer = `package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	base := flag.String("base", "", "")
	flag.Bool("insecure", false, "")
	variant := flag.String("variant", "", "")
	flag.Parse()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Get(*base + "/api2/json/version")
	if err != nil || answer.Status != "401 No ticket" {
		fmt.Println(answer, err)
		os.Exit(2)
	}
	files, _ := filepath.Glob(filepath.Join(flag.Arg(0), "*.json"))
	for _, file := range files {
		if strings.Contains(file, "wrong") && (*variant != "") == strings.Contains(file, "variant") {
			fmt.Println("FAIL  " + strings.TrimSuffix(filepath.Base(file), ".json"))
			defer os.Exit(1)
		}
	}
}
`

// recorded creates a directory of recordings and changes to the root of the checkout.
func recorded(t *testing.T, scenarios map[string]string) {
	t.Helper()
	t.Chdir("../..")
	dir := t.TempDir()
	files := map[string]string{"replay/main.go": comparer, "replay/go.mod": "module replay\n\ngo 1.24\n", "scenarios/000-fixtures.json": "{}"}
	for name, text := range scenarios {
		files["scenarios/"+name+".json"] = text
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PVE_RECORDINGS", dir)
}

func TestAllScenariosMustBeAsRecordedInBothWorlds(t *testing.T) {
	const exchanges = `"exchanges": [{"request": {"method": "GET", "path": "/version"}},
		{"parallel": [{"request": {"method": "GET", "path": "/nodes?x=1"}}, {"request": {"method": "GET", "path": "/nodes"}}]}]`
	for name, tc := range map[string]struct {
		scenarios map[string]string
		said      string
		fails     bool
	}{
		"all are": {map[string]string{"right": `{"name": "right", ` + exchanges + `}`, "variant": `{"name": "variant", "requires": "no-iommu"}`},
			"3 of 3 scenarios as recorded, with 3 of 3 requests", false},
		"one is not": {map[string]string{"wrong": `{"name": "wrong", ` + exchanges + `}`, "right": `{"name": "right", ` + exchanges + `}`},
			"2 of 3 scenarios as recorded, with 3 of 6 requests", true},
		"one of the variant is not": {map[string]string{"wrong-variant": `{"name": "wrong-variant", "requires": "no-iommu"}`},
			"1 of 2 scenarios as recorded, with 0 of 0 requests", true},
	} {
		t.Run(name, func(t *testing.T) {
			recorded(t, tc.scenarios)
			var out strings.Builder
			err := run(t.Context(), "", 100, &out)
			if (err != nil) != tc.fails || !strings.Contains(out.String(), tc.said) {
				t.Errorf("got %v, and it said\n%s", err, out.String())
			}
		})
	}
}

func TestScenariosOfAnUnknownVariantFail(t *testing.T) {
	recorded(t, map[string]string{"other": `{"name": "other", "requires": "no-memory"}`})
	var out strings.Builder
	err := run(t.Context(), "", 100, &out)
	if err == nil || !strings.Contains(err.Error(), `the variant "no-memory"`) {
		t.Errorf("got %v", err)
	}
}

func TestEachRequestCountsForItsCall(t *testing.T) {
	scenarios := []scenario{{Exchanges: []exchange{
		{Request: &request{"GET", "/nodes/pve1/qemu/${id}/config?current=1"}},
		{Parallel: []exchange{{Request: &request{"POST", "/nodes/pve1/qemu/9000/clone"}}, {Request: &request{"POST", "/nodes/pve1/qemu/9000/clone"}}}},
		{Request: &request{"DELETE", "/nodes/pve1/storage/local/content/local:iso/x.iso"}},
		{Request: &request{"GET", "//api2/extjs/version"}},
		{Request: &request{"GET", "//nothing/of/ours"}},
		{Request: &request{"GET", "/no/such/call"}},
		{},
	}}}
	want := map[string]int{
		"GET /nodes/{node}/qemu/{vmid}/config": 1, "POST /nodes/{node}/qemu/{vmid}/clone": 2,
		"DELETE /nodes/{node}/storage/{storage}/content/{volume}": 1, "GET /version": 1,
	}
	if diff := cmp.Diff(want, countChecks(scenarios)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestTheLedgerNamesDeclaredCallsAndThoseBeyond(t *testing.T) {
	got := formatLedger([]string{"PUT /version", "GET /pools", "GET /version"}, map[string]int{"GET /version": 7, "GET /access": 2})
	_, got, _ = strings.Cut(got, "method, path\n")
	want := "beyond 2 GET /access\ndeclared 0 GET /pools\ndeclared 7 GET /version\ndeclared 0 PUT /version\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheWorldWithoutIOMMUDiffersInNothingElse(t *testing.T) {
	load := func(name string) pvesim.World {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "worlds", name))
		if err != nil {
			t.Fatal(err)
		}
		world, err := pvesim.LoadWorld(data)
		if err != nil {
			t.Fatal(err)
		}
		return world
	}
	with, without := load("recorded.yaml"), load("recorded-no-iommu.yaml")
	for h, host := range with.Hosts {
		host.NoIOMMU = true
		host.PCI = slices.Clone(host.PCI)
		for i := range host.PCI {
			host.PCI[i].Group = -1
		}
		with.Hosts[h] = host
	}
	if diff := cmp.Diff(with, without); diff != "" {
		t.Errorf("recorded.yaml with the IOMMU off, and recorded-no-iommu.yaml (-want +got):\n%s", diff)
	}
}
