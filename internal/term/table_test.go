package term

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stripped is a text without our colours.
func stripped(text string) string {
	for _, colour := range sequences {
		text = strings.ReplaceAll(text, colour, "")
	}
	return text
}

func TestATableIsAlignedAndHasNothingAtTheEndOfLines(t *testing.T) {
	p := Paint{On: true}
	g := NewTable("name", "n", "state")
	g.Right = []string{"n"}
	g.Add("a", "7", p.Green("ready"))
	g.Add("a-long-name", "", "")
	g.AddNoted("because", "b", "1000", p.Red("blocked"))
	var out strings.Builder
	Printer{Out: &out}.Table(g)
	want := "NAME            N  STATE\n" +
		"a               7  ready\n" +
		"a-long-name     –  –\n" +
		"b            1000  blocked: because\n"
	if diff := cmp.Diff(want, stripped(out.String())); diff != "" {
		t.Error(diff)
	}
}

func TestALongNoteGoesBelowItsRow(t *testing.T) {
	g := NewTable("name", "state")
	g.AddNoted("short", "a", "blocked")
	g.AddNoted(strings.Repeat("word ", 12), "b", "blocked")
	var out strings.Builder
	Printer{Out: &out, Width: 40}.Table(g)
	want := "NAME  STATE\n" +
		"a     blocked: short\n" +
		"b     blocked\n" +
		"      word word word word word word word\n" +
		"      word word word word word\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestColumnsWithoutContentCanBeLeftOut(t *testing.T) {
	g := NewTable("name", "driver", "n", "held by")
	g.HideEmpty, g.Right = true, []string{"n"}
	g.Add("a", "", "7", "")
	g.Add("b", "", "12", Blank)
	var out strings.Builder
	Printer{Out: &out}.Table(g)
	if want := "NAME   N\na      7\nb     12\n"; out.String() != want {
		t.Errorf("%s", out.String())
	}
}
