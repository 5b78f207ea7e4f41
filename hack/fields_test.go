package hack

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

var fieldPath = regexp.MustCompile(`\bspec(?:\.[a-zA-Z]+(?:\[\])?)+`)

// TestTheDocsNameFieldsAsTheyAreWrittenNow looks for old spellings of fields in all pages,
// including the generated ones.
func TestTheDocsNameFieldsAsTheyAreWrittenNow(t *testing.T) {
	seen := 0
	for _, page := range documents(t) {
		for _, path := range fieldPath.FindAllString(page.text, -1) {
			seen++
			for at := path; at != "spec"; at = at[:strings.LastIndex(at, ".")] {
				if now, old := v1alpha1.OldSpelling(at, ""); old {
					t.Errorf("%s names %s: %s", page.file, path, now)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d fields were found", seen)
	}
}

var hop = regexp.MustCompile("(?m)^\\| (\\d) \\| `[a-z]+\\.([A-Za-z.]+)`")

// TestTheWalkOfACardNamesFunctionsThatExist: docs/architecture.md promises at most nine.
func TestTheWalkOfACardNamesFunctionsThatExist(t *testing.T) {
	var walk string
	for _, page := range documents(t) {
		if strings.HasSuffix(page.file, "architecture.md") {
			walk = page.text
		}
	}
	hops := hop.FindAllStringSubmatch(walk, -1)
	if len(hops) == 0 || len(hops) > 9 {
		t.Fatalf("the walk has %d hops", len(hops))
	}
	there := functions(t)
	for _, h := range hops {
		if name := h[2][strings.LastIndex(h[2], ".")+1:]; !there[name] {
			t.Errorf("hop %s: there is no function %s", h[1], name)
		}
	}
}

// functions returns the names of all functions and methods.
func functions(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	eachGoFile(t, func(_ string, _ *token.FileSet, file *ast.File) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				names[f.Name.Name] = true
			}
		}
	})
	return names
}
