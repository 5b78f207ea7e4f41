package check

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/internal/finding"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

func TestAGuestAsItShouldBePasses(t *testing.T) {
	r := check(t, base(t))
	if r.Verdict != finding.Pass || !r.Ready || len(alarming(r)) > 0 || r.Worker != "gpu-1" || r.Strategy != "Packages" {
		t.Errorf("verdict %s, ready %t, worker %q, strategy %q:\n%s", r.Verdict, r.Ready, r.Worker, r.Strategy, tell(r.Findings))
	}
	if len(r.GPUs) != 1 || r.GPUs[0].UUID != "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689" || r.Loaded.Version != "580.95.05" || !r.Loaded.Open {
		t.Errorf("%+v, %+v", r.GPUs, r.Loaded)
	}
}

func TestEachConditionIsFound(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			r := check(t, f.tree)
			for _, want := range f.expects {
				if !slices.ContainsFunc(r.Findings, func(g Finding) bool { return g.ID == want.id && g.Verdict == want.verdict }) {
					t.Errorf("want %+v, found:\n%s", want, tell(r.Findings))
				}
			}
			for _, got := range alarming(r) {
				// Without orders nobody knows what is needed, so more is unknown.
				follows := r.Worker == "" && got.Verdict == finding.Unknown
				if !follows && !slices.Contains(f.expects, expectation{got.ID, got.Verdict}) {
					t.Errorf("unexpected finding:\n%s", tell([]Finding{got}))
				}
			}
		})
	}
}

// Each finding of a guest is shown by a fixture, and each one of a fixture has a page.
func TestEachFindingHasAFixture(t *testing.T) {
	failing := map[finding.ID]bool{}
	for _, f := range fixtures(t) {
		for _, e := range f.expects {
			if e.verdict == finding.Fail {
				failing[e.id] = true
			}
		}
	}
	for _, page := range finding.OfGuest() {
		if !failing[page.ID] {
			t.Errorf("no fixture shows how %s fails", page.ID)
		}
		delete(failing, page.ID)
	}
	for id := range failing {
		t.Errorf("a fixture expects %s, which has no page", id)
	}
}

func TestEachFindingIsComplete(t *testing.T) {
	for _, f := range fixtures(t) {
		for _, g := range check(t, f.tree).Findings {
			page, ok := finding.Explain(g.ID)
			switch {
			case !ok || page.Layer != g.Layer:
				t.Errorf("%s: %s has layer %q", f.name, g.ID, g.Layer)
			case g.Reason == "" || strings.HasSuffix(g.Reason, ".") || strings.Contains(g.Reason, "%!"):
				t.Errorf("%s: %s has no good reason: %q", f.name, g.ID, g.Reason)
			case g.Verdict == finding.Fail && (len(g.Evidence) == 0 || g.Fix == "" && g.ID != finding.DriverMissing):
				t.Errorf("%s: %s has no fix or no evidence:\n%s", f.name, g.ID, tell([]Finding{g}))
			}
		}
	}
}

// What the join waits for: with the strategies that need a driver, each failure of it;
// with the others, the card alone.
func TestTheGateOpensByStrategy(t *testing.T) {
	closed := map[string]bool{
		"01-copy-of-a-worker": true, "01b-no-orders": true, "01c-damaged-orders": true, "01d-not-root": true,
		"03-machine-id-of-the-template": true, "03b-cattle-id-of-the-template": true, "03c-started-as-another-vm": true, "03d-preinstalled-without-marker": true,
		"04-step-failed": true, "06-card-missing": true, "06b-another-model": true, "07-two-cards": true, "08-template-old": true, "08b-template-without-driver": true,
		"09-nouveau": true, "10-secure-boot": true, "10b-secure-boot-in-the-status": true, "11-other-kernel": true, "12-driver-missing": true, "12b-driver-not-loaded": true,
		"13-wrong-branch": true, "13b-wrong-version": true, "14-flavour-of-the-card": true, "14b-flavour-of-the-orders": true,
		"15-library-mismatch": true, "15b-library-not-yet-noticed": true, "16-gsp": true, "17-nvlink": true, "18-device-files": true,
		"19-no-answer": true, "19b-nvidia-smi-hangs": true, "19c-nvidia-smi-missing": true, "20-another-gpu": true, "21-toolkit-missing": true,
	}
	for _, f := range fixtures(t) {
		r := check(t, f.tree)
		if r.Ready == closed[f.name] {
			t.Errorf("%s: ready %t because of\n%s", f.name, r.Ready, tell(r.Blocking()))
		}
		delete(closed, f.name)
	}
	for name := range closed {
		t.Errorf("there is no fixture %s", name)
	}
}

func TestWithOperatorACardAloneOpensTheGate(t *testing.T) {
	operator := load(t, "testdata/12c-operator.txt")
	operator.tree.Remove("sys/devices/pci0000:00/0000:00:10.0/device")
	operator.tree.WriteFile("sys/devices/pci0000:00/0000:00:10.0/device", []byte("0x27b8\n"))
	if r := check(t, operator.tree); r.Ready {
		t.Errorf("another card than the ordered one:\n%s", tell(r.Findings))
	}
}

func TestAReportSurvivesJSON(t *testing.T) {
	for _, f := range fixtures(t) {
		r := check(t, f.tree)
		data, err := json.Marshal(r)
		var again Report
		if err == nil {
			err = json.Unmarshal(data, &again)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, &again, cmp.AllowUnexported(pci.BDF{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", f.name, diff)
		}
	}
}

// Every file of a guest may have anything in it: nothing of it reaches the terminal.
func TestHostileFilesAreHarmless(t *testing.T) {
	const evil = "\x1b[31mred\u202e\x00\n"
	names := []string{}
	var walk func(dir string)
	tree := base(t)
	walk = func(dir string) {
		entries, err := tree.ReadDir(dir)
		if err != nil {
			names = append(names, dir)
			return
		}
		for _, entry := range entries {
			walk(strings.TrimPrefix(dir+"/"+entry, "./"))
		}
	}
	walk(".")
	if len(names) < 40 {
		t.Fatalf("only %d files", len(names))
	}
	for _, name := range names {
		for _, content := range []string{evil, "", strings.Repeat("x", 100<<10), `{"v1":{"init":{"errors":["` + "\u202e" + `"]}}}`, "exit 0\n" + evil} {
			tree := base(t)
			tree.Remove(name)
			tree.WriteFile(name, []byte(content))
			r := check(t, tree)
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), `\u001b`) || strings.Contains(string(data), "\u202e") || len(data) > 64<<10 {
				t.Errorf("%s: %d bytes: %.300s", name, len(data), data)
			}
		}
	}
}

// What may not be read is unknown, and never passes.
func TestWhatCannotBeReadNeverPasses(t *testing.T) {
	for name, id := range map[string]finding.ID{
		"etc/gpuworker/orders.json":      finding.GuestOrders,
		"sys/class/dmi/id/product_uuid":  finding.GuestOrders,
		"var/lib/cloud/data/status.json": finding.GuestCloudInit,
		"etc/apt/apt.conf.d":             finding.GuestUpdates,
		"var/lib/dpkg/status":            finding.GuestUpdates,
		"sys/bus/pci/devices":            finding.GuestNoGPU,
		"proc/modules":                   finding.DriverNouveau,
		"proc/driver/nvidia/version":     finding.DriverMissing,
		"dev":                            finding.DriverDeviceFiles,
		"usr/bin":                        finding.DriverToolkit,
	} {
		tree := base(t)
		tree.Remove(name)
		denied := hosttree.NewArchive()
		denied.Deny(name)
		tree, err := hosttree.Parse(append(tree.Format(), denied.Format()...))
		if err != nil {
			t.Fatal(err)
		}
		r := check(t, tree)
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == id && f.Verdict == finding.Unknown }) {
			t.Errorf("%s: %s is not unknown:\n%s", name, id, tell(r.Findings))
		}
		for _, f := range r.Findings {
			if f.Fix != "" && string(term.Line(f.Fix)) != f.Fix {
				t.Errorf("%s: %q", f.ID, f.Fix)
			}
		}
	}
}

func TestVersionsAreComparedByNumbers(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"570.158.01", "580", true}, {"580.95.05", "580", false}, {"580.95.05", "580.105.08", true}, {"580.105.08", "580.95.05", false},
		{"595.12", "580", false}, {"580", "580.95.05", true}, {"580.95.05", "580.95.05", false},
	} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("%s older than %s: %t", test.a, test.b, got)
		}
	}
}
