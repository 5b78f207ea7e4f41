package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/term"
)

func TestATableIsAlignedAndHasNothingAtTheEndOfLines(t *testing.T) {
	p := term.Paint{On: true}
	g := newGrid("name", "n", "state")
	g.right = []int{1}
	g.add("a", "7", p.Green("ready"))
	g.add("a-long-name", "", "")
	g.addNoted("because", "b", "1000", p.Red("blocked"))
	var out strings.Builder
	g.write(&out, term.Paint{}, 0)
	want := "NAME            N  STATE\n" +
		"a               7  ready\n" +
		"a-long-name     –  –\n" +
		"b            1000  blocked: because\n"
	if diff := cmp.Diff(want, stripColours(out.String())); diff != "" {
		t.Error(diff)
	}
}

func TestALongNoteGoesBelowItsRow(t *testing.T) {
	g := newGrid("name", "state")
	g.addNoted("short", "a", "blocked")
	g.addNoted(strings.Repeat("word ", 12), "b", "blocked")
	var out strings.Builder
	g.write(&out, term.Paint{}, 40)
	want := "NAME  STATE\n" +
		"a     blocked: short\n" +
		"b     blocked\n" +
		"      word word word word word word word\n" +
		"      word word word word word\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
