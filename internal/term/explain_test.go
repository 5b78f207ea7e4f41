package term

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/golden"
)

func explained(kind finding.Kind, width int) string {
	var out strings.Builder
	Printer{Out: &out, Width: width}.Explain(kind)
	return out.String()
}

func TestAPageIsWrappedToTheTerminal(t *testing.T) {
	kind, _ := finding.Explain(finding.CardGroupShared)
	golden.Compare(t, "testdata/card-group-shared.golden", explained(kind, 80))
}

// At any width, a page has all its words and no line that is too long.
func TestNoPageIsTooWideOrCutOff(t *testing.T) {
	for _, kind := range finding.All() {
		for _, width := range []int{0, 80, 300} {
			_, text, _ := strings.Cut(explained(kind, width), "\n") // the title is one line
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > longest && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s has a line of %d characters: %s", kind.ID, n, line)
				}
			}
			for _, words := range append([]string{kind.What, kind.Why, kind.Detected}, kind.Fix...) {
				if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(words), " ")) {
					t.Errorf("%s at width %d lacks: %s", kind.ID, width, words)
				}
			}
		}
	}
}
