package pvesim

import (
	"strings"
	"testing"
)

func TestTheLedgerKnowsEveryCall(t *testing.T) {
	implemented, checked := map[string]bool{}, 0
	for _, e := range Ledger() {
		implemented[e.Method+" "+e.Path] = e.Implemented
		checked += e.Checked
		if e.Checked > 0 && !e.Implemented {
			t.Errorf("%s %s passed recordings, and is not implemented: run `make ledger`", e.Method, e.Path)
		}
		if e.Implemented && strings.Contains(e.Path, "...") {
			t.Errorf("%s %s is not written as it is declared", e.Method, e.Path)
		}
	}
	for _, c := range table(newest) {
		if !implemented[c.method+" "+declaredPath(c.path)] {
			t.Errorf("%s %s is not in the ledger", c.method, c.path)
		}
	}
	if checked < 1000 {
		t.Errorf("only %d exchanges are said to be checked", checked)
	}
}

func TestWhatTheLedgerCallsUnimplementedAnswers501(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		none := 0
		for _, e := range Ledger() {
			if e.Implemented {
				continue
			}
			none++
			path := pathParam.ReplaceAllString(e.Path, "x")
			if got := root.do(e.Method, path); got.code != 501 || got.reason != "Method '"+e.Method+" "+path+"' not implemented" {
				t.Errorf("%s %s: %d %q", e.Method, path, got.code, got.reason)
			}
		}
		if none == 0 {
			t.Error("everything is implemented: the list in docs/pvesim.md can go")
		}
	})
}

func TestABrokenLedgerSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"# good\n\ndeclared x GET /a":         "line 3: count of checks",
		"declared 1 GET":                      "line 1: want",
		"declared 1 GET /a\nperhaps 1 GET /b": `line 2: want "declared|beyond CHECKED METHOD PATH", got "perhaps 1 GET /b"`,
	} {
		if _, err := parseLedger(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestPatternNamesTheCallThatAnswers(t *testing.T) {
	for request, want := range map[string]string{
		"GET /version":               "/version",
		"PUT /nodes/a/qemu/1/config": "/nodes/{node}/qemu/{vmid}/config",
		"GET /pools/a/b":             "/pools/{poolid}",
		"PATCH /version":             "",
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := Pattern(method, path); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}
