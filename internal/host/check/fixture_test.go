package check

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// A fixture is testdata/base.txt, a healthy host, and a file that changes it.
// The lines before the first part of that file describe the change:
//
//	VT-d is off.                               a sentence
//	expect: HOST-X fail pass 0000:01:00.0      finding, verdict now and after the reboot, and its card, if any
//	remove: sys/class/iommu/dmar0              removed from the base, with everything below it
//
// The parts that follow are added to the base, in the form of package hosttree.
type fixture struct {
	name    string
	about   string
	expects []expectation
	tree    *hosttree.Archive
}

type expectation struct {
	id         finding.ID
	now, after finding.Verdict
	card       string
}

func base(t testing.TB) *hosttree.Archive { return load(t, "base.txt").tree }

func load(t testing.TB, name string) fixture {
	t.Helper()
	text := readTestdata(t, name)
	if name == "base.txt" {
		tree, err := hosttree.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return fixture{name: name, tree: tree}
	}
	head, parts, _ := strings.Cut("\n"+text, "\n-- ")
	f := fixture{name: strings.TrimSuffix(name, ".txt"), tree: base(t)}
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		fields := strings.Fields(value)
		switch key {
		case "remove":
			f.tree.Remove(value)
		case "expect":
			e := expectation{finding.ID(fields[0]), finding.Verdict(fields[1]), finding.Verdict(fields[2]), strings.Join(fields[3:], "")}
			f.expects = append(f.expects, e)
		default:
			f.about += line
		}
	}
	if parts != "" {
		parts = "-- " + parts
	}
	tree, err := hosttree.Parse(append(f.tree.Format(), parts...))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	f.tree = tree
	return f
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fixtures returns all fixtures except the base, by name.
func fixtures(t testing.TB) []fixture {
	t.Helper()
	names, err := filepath.Glob("testdata/[0-9]*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no fixtures", err)
	}
	var all []fixture
	for _, name := range names {
		all = append(all, load(t, filepath.Base(name)))
	}
	slices.SortFunc(all, func(a, b fixture) int { return cmp.Compare(a.name, b.name) })
	return all
}

// everything returns all findings of a report, of the host and of all cards.
func everything(r *Report) []Finding {
	all := slices.Clone(r.Findings)
	for _, card := range r.Cards {
		all = append(all, card.Findings...)
	}
	return all
}

// notable returns the findings that do not pass.
func notable(r *Report) []Finding {
	return slices.DeleteFunc(everything(r), func(f Finding) bool { return f.Verdict == finding.Pass && f.AfterReboot == finding.Pass })
}

func tell(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "  %s %s %s %s: %s\n", f.ID, f.Verdict, f.AfterReboot, f.Where.Card, f.Reason)
		for _, e := range f.Evidence {
			fmt.Fprintf(&b, "      %s: %s\n", e.File, e.Says)
		}
		if f.Fix != "" {
			fmt.Fprintf(&b, "      fix: %s\n", f.Fix)
		}
	}
	return b.String()
}

var (
	t4  = pci.MustBDF("0000:01:00.0")
	rtx = pci.MustBDF("0000:02:00.0")
)
