package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// A fixture is testdata/base.txt, a guest as it should be, and a file that changes it.
// The lines before the first part of that file describe the change:
//
//	nouveau took the card.             a sentence
//	expect: DRIVER-NOUVEAU fail        finding and verdict
//	remove: proc/driver/nvidia         removed from the base, with everything below it
//
// The parts that follow are added to the base, in the form of package hosttree.
type fixture struct {
	name    string
	expects []expectation
	tree    *hosttree.Archive
}

type expectation struct {
	id      finding.ID
	verdict finding.Verdict
}

func base(t testing.TB) *hosttree.Archive {
	t.Helper()
	text, err := os.ReadFile("testdata/base.txt")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := hosttree.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func load(t testing.TB, file string) fixture {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, parts, more := strings.Cut("\n"+string(text), "\n-- ")
	f := fixture{name: strings.TrimSuffix(filepath.Base(file), ".txt"), tree: base(t)}
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "remove":
			f.tree.Remove(value)
		case "expect":
			fields := strings.Fields(value)
			f.expects = append(f.expects, expectation{finding.ID(fields[0]), finding.Verdict(fields[1])})
		}
	}
	if more {
		parts = "-- " + parts
	}
	tree, err := hosttree.Parse(append(f.tree.Format(), parts...))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	f.tree = tree
	return f
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	names, err := filepath.Glob("testdata/[0-9]*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no fixtures", err)
	}
	var all []fixture
	for _, name := range names {
		all = append(all, load(t, name))
	}
	return all
}

// check looks at a captured guest and judges it.
func check(t testing.TB, tree hosttree.Reader) *Report {
	t.Helper()
	g := look.Read(t.Context(), tree, run.Captured{Tree: tree}, look.Options{})
	return Run(g, Options{Tool: "v0"})
}

// alarming returns the findings that neither pass nor are notes.
func alarming(r *Report) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Verdict == finding.Pass || f.Verdict == finding.Info })
}

func tell(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "  %s %s: %s\n", f.ID, f.Verdict, f.Reason)
		for _, e := range f.Evidence {
			fmt.Fprintf(&b, "      %s: %s\n", e.From, e.Says)
		}
		if f.Fix != "" {
			fmt.Fprintf(&b, "      fix: %s\n", f.Fix)
		}
	}
	return b.String()
}
