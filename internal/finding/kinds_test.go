package finding

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// declaredIDs reads the constants of ids.go, ids_host.go and ids_guest.go.
func declaredIDs(t *testing.T) []ID {
	t.Helper()
	return slices.Concat(constantsOf(t, "ids.go"), constantsOf(t, "ids_host.go"), constantsOf(t, "ids_guest.go"))
}

func constantsOf(t *testing.T, name string) []ID {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ids []ID
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, value := range spec.Values {
				text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, ID(text))
			}
		}
		return true
	})
	return ids
}

func TestEveryIDHasOneRowInTheSameOrder(t *testing.T) {
	var paged []ID
	for _, p := range kinds {
		paged = append(paged, p.ID)
	}
	if diff := cmp.Diff(declaredIDs(t), paged); diff != "" {
		t.Errorf("the constants and the rows differ (-ids +rows):\n%s", diff)
	}
}

func TestPagesSayAllThatAnOperatorNeeds(t *testing.T) {
	for _, p := range kinds {
		sentence := func(what, text string) {
			if text == "" || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %s is no sentence: %q", p.ID, what, text)
			}
		}
		sentence("What", p.What)
		sentence("Why", p.Why)
		sentence("Detected", p.Detected)
		if p.Title == "" || strings.HasSuffix(p.Title, ".") {
			t.Errorf("%s: the title is a phrase without full stop: %q", p.ID, p.Title)
		}
		if len(p.Fix) == 0 {
			t.Errorf("%s: says nothing about what to do", p.ID)
		}
		for _, step := range p.Fix {
			sentence("a step", step)
		}
		if !slices.Contains(Layers, p.Layer) {
			t.Errorf("%s: layer %q does not exist", p.ID, p.Layer)
		}
	}
}

// Unknown blocks a worker, unless its row says that it can never be checked, or the ID is
// of a newer host tool.
func TestWhatBlocks(t *testing.T) {
	for _, test := range []struct {
		id      ID
		verdict Verdict
		want    bool
	}{
		{CardHeld, Fail, true}, {CardHeld, Pass, false}, {CardHeld, Info, false},
		{CardHolderUnknown, Unknown, true}, {VMUnreadable, Unknown, true}, {HostUnreadable, Unknown, true}, {PrivilegeMissing, Unknown, true},
		{HostDriver, Unknown, false}, {HostDriver, Fail, true}, {CardGroupHidden, Unknown, false}, {StorageFull, Unknown, false},
		{HostFactsNone, Unknown, false}, {HostFactsOld, Unknown, false}, {HostPowerStuck, Unknown, false}, {HostPowerStuck, Fail, true},
		{"HOST-OF-TOMORROW", Unknown, false}, {"HOST-OF-TOMORROW", Fail, true},
	} {
		if got := New(test.id, test.verdict, fault.Place{}).Blocks(); got != test.want {
			t.Errorf("%s, %s: blocks %t, want %t", test.id, test.verdict, got, test.want)
		}
	}
}

func TestARowHasOneOfTheRanks(t *testing.T) {
	for _, k := range kinds {
		if !slices.Contains(Ranks, k.Rank) {
			t.Errorf("%s has rank %d, so its refusals would not be shown", k.ID, k.Rank)
		}
	}
}

func TestExplainFindsPagesInAnyCase(t *testing.T) {
	for _, text := range []ID{"CARD-HELD", "card-held", " Card-Held "} {
		if p, ok := Explain(text); !ok || p.ID != CardHeld {
			t.Errorf("Explain(%q) = %q, %v", text, p.ID, ok)
		}
	}
	if p, ok := Explain("CARD-HEALD"); ok {
		t.Errorf("a misspelt ID was taken for %s", p.ID)
	}
}

func TestSuggest(t *testing.T) {
	for _, test := range []struct {
		text string
		want []ID
	}{
		{"CARD-HEALD", []ID{CardHeld}},
		{"host_iommu_of", []ID{HostIOMMUOff}},
		{"vm clone stuk", []ID{VMCloneStuck}},
		{"MEMORY", []ID{HostMemoryShort, MemoryShort}},
		{"xyzzy", nil},
		{"", nil},
	} {
		if diff := cmp.Diff(test.want, Suggest(test.text)); diff != "" {
			t.Errorf("Suggest(%q) (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestMarkdownHasEveryPage(t *testing.T) {
	text := string(Markdown())
	for _, id := range declaredIDs(t) {
		if strings.Count(text, "\n### "+string(id)+"\n") != 1 {
			t.Errorf("the document has not exactly one section for %s", id)
		}
	}
}

func TestSortOrdersByLayerThenPlace(t *testing.T) {
	at := func(id ID, layer Layer, host string) Finding {
		f := Finding{ID: id, Layer: layer}
		f.Where.Host = host
		return f
	}
	vm := func(id string) Finding {
		f := at(VMIdentity, LayerVM, "a")
		f.Where.VM = id
		return f
	}
	got := []Finding{
		vm("1000"), vm("204"), at(VMIdentity, LayerVM, "a"), at(HostOffline, LayerHost, "b"), at(HostOffline, LayerHost, "a"), at(APIVersion, LayerAPI, ""),
	}
	Sort(got)
	want := []Finding{
		at(APIVersion, LayerAPI, ""), at(HostOffline, LayerHost, "a"), at(HostOffline, LayerHost, "b"), at(VMIdentity, LayerVM, "a"), vm("204"), vm("1000"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
